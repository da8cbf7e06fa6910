"""Every cell of a run as one Parquet file, written a row group at a time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from defender.errors import StoreError

TEXT, WHOLE, REAL = "string", "int64", "float64"
COLUMNS: Mapping[str, str] = {
    **dict.fromkeys(("stage", "candidate", "name", "template_sha256", "identity", "category"), TEXT),
    **dict.fromkeys(("benchmark", "axis", "item"), TEXT),
    "repeat": WHOLE,
    "score": REAL,
    **dict.fromkeys(("outcome", "grader", "reason", "request"), TEXT),
    **dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens", "attempts"), WHOLE),
    "seconds": REAL,
    **dict.fromkeys(("finish_reason", "model"), TEXT),
}
"""Column -> type. ``score`` is 0 to 1, higher is better, null where nobody could say; what the answer tells (tokens to
model) is null where there is none."""
RESPONSE = "response"


def write_cells(groups: Iterable[Mapping[str, Sequence[Any]]], path: Path, *, responses: bool) -> int:
    """Write row groups; whole or not at all.

    Args:
        groups: column -> values, one mapping a row group.
        path: the file.
        responses: whether there is a column of answers.

    Returns:
        How many rows were written.

    Raises:
        StoreError: the file cannot be written.
    """
    import pyarrow as pa
    from pyarrow import parquet

    types = {**COLUMNS, RESPONSE: TEXT} if responses else COLUMNS
    schema = pa.schema([(name, pa.type_for_alias(kind)) for name, kind in types.items()])
    draft, rows = path.with_name(f".{path.name}.draft"), 0
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with parquet.ParquetWriter(draft, schema, compression="zstd") as writer:
            for group in groups:
                table = pa.table({name: list(group[name]) for name in types}, schema=schema)
                writer.write_table(table)
                rows += table.num_rows
        draft.replace(path)
    except OSError as error:
        raise StoreError(f"cannot write {path}: {error.strerror or error}; give another folder with --into") from error
    finally:
        with suppress(OSError):
            draft.unlink(missing_ok=True)
    return rows
