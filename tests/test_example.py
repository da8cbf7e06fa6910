"""The committed example is readable, small, and what the code makes of it now."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from defender.cli.app import app
from defender.runs import load_run
from tests.example import EXAMPLE, ROOT, SEARCH

NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")
STALE = "write it again with: defender report runs/example"
MOST_BYTES = 2_000_000


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a copy of the example with its report written again, by the command that the documents name."""
    home = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / EXAMPLE, home / EXAMPLE)
    for name in ("report.html", "report.md"):
        (home / EXAMPLE / name).unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        app(["report", str(EXAMPLE)], standalone_mode=False)
    return home / EXAMPLE


PARTS = {
    "report.html": (r"(?s)<style>.*?</style>", r"(?s)<script>.*?</script>", r"<h1>.*?</h1>", r"<h2>.*?</h2>",
                    r"<caption>.*?</caption>", r"(?s)<table>\n<caption>Prompts.*?</table>",
                    r'(?s)<svg id="clouds".*?</svg>'),
    "report.md": (r"(?m)^## .*$", r"(?s)^# .*?\n## Verdicts", r"(?s)## Floors.*?\n\n.*?\n\n"),
}  # fmt: skip
"""What a reader would miss if it were of an older release; wordings of the methods may be."""


@pytest.mark.parametrize("name", PARTS)
def test_the_report_is_what_the_code_makes_now(written: Path, name: str) -> None:
    """Words are equal; numbers may differ in what another processor's arithmetic makes of the last digit."""
    for part in PARTS[name]:
        kept, now = (
            "\n".join(re.findall(part, (folder / name).read_text(encoding="utf-8")))
            for folder in (ROOT / EXAMPLE, written)
        )
        assert kept, part
        assert NUMBER.split(kept) == NUMBER.split(now), STALE
        for before, after in zip(NUMBER.findall(kept), NUMBER.findall(now), strict=True):
            assert float(after) == pytest.approx(float(before), rel=0.05, abs=0.3), STALE


def test_the_example_was_made_as_it_says(written: Path) -> None:
    config = load_run(Path("runs"), str(written)).config
    words = dict(zip(SEARCH[1::2], SEARCH[2::2], strict=True))
    asked = {"--items": config.search.items, "--confirm-items": config.confirm.items}
    asked["--candidates"] = config.search.candidates
    assert {name: str(value) for name, value in asked.items()} == {name: words[name] for name in asked}


def test_the_example_is_small_and_holds_no_answer() -> None:
    files = [path for path in (ROOT / EXAMPLE).rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST_BYTES
    assert not {"run.db.lock", "run.db-wal", "run.db-shm"} & {path.name for path in files}
    database = (ROOT / EXAMPLE / "run.db").read_bytes()
    assert b"completion_tokens" in database
    assert b'"finish_reason"' not in database
