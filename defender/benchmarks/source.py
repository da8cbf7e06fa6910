"""Where benchmark rows come from: the hub or a file at a pinned commit, or a local folder in the same layout.

Every way ends in `datasets.load_dataset`. With a data folder there is no network at all: what the folder lacks is
missing. Without one, what was downloaded before is read from the hub's cache, and a hub that cannot be reached is said
within seconds.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from defender.errors import DataMissing

PATIENCE_S = 5.0
"""How long the hub may take to say what a file is."""


@dataclass(frozen=True, slots=True)
class Table:
    """One split of one dataset, pinned by commit and by content.

    Attributes:
        hub_id: "namespace/name" on the hub; "" where the rows are not there, or not for everybody.
        revision: full commit hash (the hub takes no short ones).
        folder: the dataset's folder below a local data folder; ``<data>/<hub_id>`` is found too.
        columns: the columns the benchmark reads.
        config: the configuration's name in a local copy, or None for the only one.
        split: the split's name in a local copy.
        files: the split's files on the hub, in order (each may be a pattern).
        url: a CSV file at a pinned commit, where the rows are not on the hub.
        access: what a user should know before fetching them ("gated: ..."), or "".
        renamed: what a column is called in other copies -> its name in ``columns``.
        rows, digest: how many rows there are, and `digest_of` them; None and "" where nobody has seen them.
    """

    hub_id: str
    revision: str
    folder: str
    columns: tuple[str, ...]
    config: str | None = None
    split: str = "test"
    files: tuple[str, ...] = ()
    url: str = ""
    access: str = ""
    renamed: Mapping[str, str] = field(default_factory=dict)
    rows: int | None = None
    digest: str = ""

    @property
    def title(self) -> str:
        """Id, configuration, split and revision in one phrase."""
        place = "/".join(part for part in (self.config, self.split) if part)
        pinned = f" @ {self.revision[:12]}" if self.revision else ""
        repository = "/".join(self.url.split("/")[3:5])
        return f"{self.hub_id or repository or self.folder} {place}{pinned}"


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
        import httpx

        where = str(self._folder(table)) if self.data is not None else table.url or table.hub_id
        try:
            with _progress(datasets, shown=self.data is None), _cache(datasets) as cache:
                loaded = datasets.load_dataset(**self._found(table), cache_dir=cache)
                # A column goes by one name here, whatever a copy calls it.
                names = {old: new for old, new in table.renamed.items() if old in loaded.column_names}
                loaded = loaded.rename_columns(names)
                lacking = [column for column in table.columns if column not in loaded.column_names]
                if not lacking:
                    rows = loaded.select_columns(list(table.columns)).to_list()
        except httpx.TransportError as problem:
            got = f"no answer from the hub, is this machine offline? ({type(problem).__name__}: {problem})"
            raise DataMissing(self._message(table, where, got)) from problem
        # OSError covers offline, gated and not found; ValueError an unknown configuration or split.
        except (OSError, ValueError, datasets.exceptions.DatasetsError) as problem:
            raise DataMissing(self._message(table, where, f"{type(problem).__name__}: {problem}")) from problem
        if lacking:
            got = f"columns {', '.join(loaded.column_names)}, without {', '.join(lacking)}"
            raise DataMissing(self._message(table, where, got))
        return cast("list[dict[str, Any]]", rows)

    def _found(self, table: Table) -> dict[str, Any]:
        """Return where the rows lie now, as arguments of `datasets.load_dataset`; downloads what the hub has."""
        if self.data is not None:
            folder, file = self._folder(table), table.url.rpartition("/")[2]
            if file and (folder / file).is_file():  # it alone: another table may lie in a folder below
                return {"path": str(folder), "data_files": {"rows": [file]}, "split": "rows"}
            return {"path": str(folder), "name": table.config, "split": table.split}
        if table.url:
            return {"path": "csv", "data_files": table.url, "split": "train"}
        if not table.hub_id:
            raise DataMissing(self._message(table, "the hub", "no public copy of these rows"))
        folder, files = _downloaded(table)
        return {"path": str(folder), "data_files": {"rows": files}, "split": "rows"}

    def _folder(self, table: Table) -> Path:
        assert self.data is not None
        for folder in filter(None, (table.folder, table.hub_id)):
            if (self.data / folder).is_dir():
                return self.data / folder
        present = sorted(entry.name for entry in self.data.iterdir()) if self.data.is_dir() else None
        got = f"a folder with {', '.join(present[:12]) or 'nothing'}" if present is not None else "no such folder"
        raise DataMissing(self._message(table, str(self.data / table.folder), got))

    def _message(self, table: Table, where: str, got: str) -> str:
        lines = [f"expected the rows of {table.title}, got {got.strip().splitlines()[0]} (looked at {where})"]
        if table.access:
            lines.append(f"access: {table.access}")
        if table.url or table.hub_id:
            lines.append(f"fetch it where there is a network: {_command(table)}")
        lines.append(f"then pass --data DIR (or set DEFENDER_DATA=DIR); DIR/{table.folder} holds the hub's layout")
        return "\n".join(lines)


def _downloaded(table: Table) -> tuple[Path, list[str]]:
    """Return the dataset's folder in the hub's cache and the table's files in it, downloaded where they are not there.

    A pinned commit never changes, so what is there is not asked about again. Raises OSError, httpx.TransportError.
    """
    from huggingface_hub import snapshot_download

    asked: dict[str, Any] = {
        "repo_id": table.hub_id, "repo_type": "dataset", "revision": table.revision,
        "allow_patterns": list(table.files), "etag_timeout": PATIENCE_S,
    }  # fmt: skip
    try:
        there = Path(snapshot_download(**asked, local_files_only=True))
    except OSError:
        there = None
    if there is None or not all(list(there.glob(pattern)) for pattern in table.files):
        there = Path(snapshot_download(**asked))
    found = [str(file.relative_to(there)) for pattern in table.files for file in sorted(there.glob(pattern))]
    if not found:
        raise FileNotFoundError(f"no file {' or '.join(table.files)} at that commit")
    return there, found


def _command(table: Table) -> str:
    """Return the shell command that fetches a table into DIR."""
    if table.url:
        name = table.url.rpartition("/")[2]
        return f"curl --create-dirs -Lo DIR/{table.folder}/{name} {table.url}"
    pinned = f" --revision {table.revision}" if table.revision else ""
    return f"hf download {table.hub_id} --repo-type dataset{pinned} --local-dir DIR/{table.folder}"


@contextmanager
def _cache(datasets: Any) -> Iterator[str | None]:
    """Yield the guest's own cache, or a folder that goes again where this user may not write there."""
    own = Path(datasets.config.HF_DATASETS_CACHE)
    ground = next(folder for folder in (own, *own.parents) if folder.exists())
    if os.access(ground, os.W_OK):
        yield None
        return
    with tempfile.TemporaryDirectory(prefix="defender-rows-") as folder:
        yield folder


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
