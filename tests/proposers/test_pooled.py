from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from defender.errors import ConfigError
from defender.proposers.pooled import ScriptedWriter, read_pool
from tests.contracts.writer import EVIDENCE, ClauseWriterContract, texts

POOL = ("Weigh every word", "Take your time.", "Say it plainly.", "Weigh every word")


class TestScriptedWriter(ClauseWriterContract):
    def make(self) -> ScriptedWriter:
        return ScriptedWriter(POOL)


async def test_it_goes_on_in_the_pools_order_with_what_was_neither_said_nor_refused() -> None:
    told = replace(EVIDENCE, said=("Weigh every word.",), wanted=9)
    assert texts((await ScriptedWriter(POOL).write(told)).clauses) == ["Take your time.", "Say it plainly."]
    told = replace(told, refused=(("Take your time.", "it is there already"),))
    assert texts((await ScriptedWriter(POOL).write(told)).clauses) == ["Say it plainly."]


async def test_an_empty_pool_is_said() -> None:
    draft = await ScriptedWriter(POOL[:1]).write(replace(EVIDENCE, said=("Weigh every word.",)))
    assert (draft.clauses, draft.trouble) == ((), "the pool is empty")


def test_a_pool_is_one_clause_a_line_with_comments(tmp_path: Path) -> None:
    path = tmp_path / "pool.txt"
    path.write_text("\ufeff# mine\nWeigh every word.\n\n  Take your time.  \n", encoding="utf-8")
    assert read_pool(path) == ("Weigh every word.", "Take your time.")


@pytest.mark.parametrize(
    ("content", "what"), [(None, "no clause pool"), (b"# nothing\n", "is empty"), (b"\xff\xfe\xff", "cannot read")]
)
def test_a_pool_that_gives_nothing_is_refused(tmp_path: Path, content: bytes | None, what: str) -> None:
    path = tmp_path / "pool.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=what):
        read_pool(path)
