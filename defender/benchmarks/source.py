"""Where benchmark rows come from: the hub at a pinned revision, or a local folder in the same layout.

Both go through the one call of `datasets.load_dataset`, so a local copy is read exactly like the hub's. With a data
folder there is no network at all: what the folder lacks is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from defender.errors import DataMissing


@dataclass(frozen=True, slots=True)
class Table:
    """One split of one dataset, pinned.

    Attributes:
        hub_id: "namespace/name" on the hub; "" where the rows exist only locally.
        revision: full commit hash (the hub takes no short ones), or a branch where no commit is known.
        folder: the dataset's folder below a local data folder; ``<data>/<hub_id>`` is found too.
        columns: the columns the benchmark reads.
        config: the hub's configuration name, or None for the only one.
        split: the hub's split name.
        access: what stands between a user and the rows ("gated: ..."), or "".
    """

    hub_id: str
    revision: str
    folder: str
    columns: tuple[str, ...]
    config: str | None = None
    split: str = "test"
    access: str = ""

    @property
    def title(self) -> str:
        """Id, configuration, split and revision in one phrase."""
        place = "/".join(part for part in (self.config, self.split) if part)
        pinned = f" @ {self.revision[:12]}" if self.revision else ""
        return f"{self.hub_id or self.folder} {place}{pinned}"


@dataclass(frozen=True, slots=True)
class Source:
    """Reads tables. ``data`` is a local data folder, or None for the hub (network or its cache)."""

    data: Path | None = None

    def rows(self, table: Table) -> list[dict[str, Any]]:
        """Return all rows of a table, in the file's order.

        Raises:
            DataMissing: no such folder, gated, offline, or columns other than expected.
        """
        import datasets

        where, revision = self._place(table)
        quiet = self.data is not None
        try:
            with _progress(datasets, shown=not quiet):
                loaded = datasets.load_dataset(where, table.config, split=table.split, revision=revision)
        # OSError covers offline, gated and not found; ValueError an unknown configuration or split.
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as problem:
            raise DataMissing(self._message(table, where, f"{type(problem).__name__}: {problem}")) from problem
        lacking = [column for column in table.columns if column not in loaded.column_names]
        if lacking:
            got = f"columns {', '.join(loaded.column_names)}, without {', '.join(lacking)}"
            raise DataMissing(self._message(table, where, got))
        return cast("list[dict[str, Any]]", loaded.select_columns(list(table.columns)).to_list())

    def origin(self, table: Table) -> str:
        """Say for the report where the rows come from."""
        return f"{table.title}, {'the hub' if self.data is None else 'local copy'}"

    def _place(self, table: Table) -> tuple[str, str | None]:
        if self.data is None:
            if not table.hub_id:
                raise DataMissing(self._message(table, "the hub", "no public hub copy of these rows"))
            return table.hub_id, table.revision or None
        for folder in filter(None, (table.folder, table.hub_id)):
            if (self.data / folder).is_dir():
                return str(self.data / folder), None
        present = sorted(entry.name for entry in self.data.iterdir()) if self.data.is_dir() else None
        got = f"a folder with {', '.join(present[:12]) or 'nothing'}" if present is not None else "no such folder"
        raise DataMissing(self._message(table, str(self.data / table.folder), got))

    def _message(self, table: Table, where: str, got: str) -> str:
        lines = [f"expected the rows of {table.title}, got {got.strip().splitlines()[0]} (looked at {where})"]
        if table.access:
            lines.append(f"access: {table.access}")
        pinned = f" --revision {table.revision}" if table.revision else ""
        if table.hub_id:
            lines.append(
                "fetch it where there is a network: "
                f"hf download {table.hub_id} --repo-type dataset{pinned} --local-dir DIR/{table.folder}"
            )
        lines.append(f"then pass --data DIR (or set DEFENDER_DATA=DIR); DIR/{table.folder} holds the hub's layout")
        return "\n".join(lines)


@contextmanager
def _progress(datasets: Any, *, shown: bool) -> Iterator[None]:
    """Silence the guest's progress bars while a local file is read, and leave them as they were."""
    if shown or datasets.are_progress_bars_disabled():
        yield
        return
    datasets.disable_progress_bars()
    try:
        yield
    finally:
        datasets.enable_progress_bars()
