"""kill -9 in the middle of a real ablation, then the same command again; every request is counted at the server."""

from __future__ import annotations

import json
import shutil
import signal
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender.store import SqlStore
from tests.ablated_run import answering, configured
from tests.counting_server import CountingServer
from tests.test_cli import defender
from tests.test_kill import spent
from tests.test_lost_workers import running, until

IN_FLIGHT = 16
ABLATE = ("ablate", "one", "--only", "left-out,combinations", "--in-flight", str(IN_FLIGHT), "--json")
SHARES = (0.0, 0.3, 0.8)
"""How much of the ablation is paid for at each kill; the first comes while the run's own answers are taken over."""


class Torn:
    """An ablation in a folder of its own that is killed: what was in flight then, by key, kill by kill."""

    def __init__(self, folder: Path, counting: CountingServer, before: int) -> None:
        self.database = folder / "runs" / "one" / "ablation" / "run.db"
        self.flew: Counter[str] = Counter()
        self._folder, self._counting, self._before = folder, counting, before

    def asked(self) -> list[str]:
        """Return the keys of every request that reached the server from this folder, in order."""
        with closing(SqlStore(self.database, readonly=True)) as store:
            fingerprint = str(store.notes("card")["model"]["fingerprint"])
        return [one.request.key(fingerprint) for one in self._counting.asked[self._before :]]

    def kill_at(self, requests: int) -> None:
        """Start the command again and kill it once the server was asked so often."""
        with running(*ABLATE, cwd=self._folder) as process:
            until(self.database.exists, process)
            until(lambda: len(self._counting.asked) - self._before >= requests, process)
            process.send_signal(signal.SIGKILL)
            process.wait()
        while not self._counting.quiet():  # until what it sent in its last moment has reached the server
            time.sleep(0.02)
        time.sleep(0.2)
        if requests:
            keys = set(self.asked())
            with closing(SqlStore(self.database, readonly=True)) as store:
                self.flew.update(keys - set(store.responses(keys)))


def document(folder: Path) -> dict[str, Any]:
    """Run the command to its end; return what it says, folders aside."""
    code, out, said = defender(*ABLATE, cwd=folder)
    assert code == 0, said
    found: dict[str, Any] = json.loads(out.replace(str(folder), ""))
    return found


def reports(folder: Path) -> dict[str, str]:
    """Return the reports, without the line that says what was spent: what flew at a kill was paid for twice."""
    made = {path.name: path.read_text() for path in (folder / "runs" / "one" / "ablation").glob("*.*") if _told(path)}
    return {name: "\n".join(row for row in text.splitlines() if "cost</dt>" not in row and "**Cost" not in row)
            for name, text in made.items()}  # fmt: skip


def _told(path: Path) -> bool:
    return path.suffix in (".md", ".html", ".csv")


@pytest.mark.slow
def test_after_kills_the_ablation_says_the_same_and_only_what_was_in_flight_is_asked_again(tmp_path: Path) -> None:
    config = configured(tmp_path, confirm={"items": 6})
    said = config.model_dump(mode="json", exclude_defaults=True)
    kept = {key: said[key] for key in ("space", "identities", "search", "confirm", "floors")}
    miniature = ["miniature_utility", "miniature_safety", "miniature_harmless"]
    (tmp_path / "run.yaml").write_text(yaml.safe_dump(kept | {"benchmarks": miniature}))
    with CountingServer(answering(config), seconds=0.02) as counting:
        model = ("--model", "tiny", "--base-url", counting.url("x"), "--alias", "world")
        code, _, told = defender("search", "--config", "run.yaml", *model, "--run", "one", "--quiet", cwd=tmp_path)
        assert code == 0, told
        for place in ("whole", "torn"):
            shutil.copytree(tmp_path / "runs", tmp_path / place / "runs")

        before = len(counting.asked)
        whole = document(tmp_path / "whole")
        total = len(counting.asked) - before
        assert spent(tmp_path / "whole" / "runs" / "one" / "ablation" / "run.db")["reserved"] == total

        torn = Torn(tmp_path / "torn", counting, len(counting.asked))
        for share in SHARES:
            torn.kill_at(int(share * total))
        paid = spent(torn.database)
        again = document(tmp_path / "torn")
        keys = Counter(torn.asked())

    assert {key for key, times in keys.items() if times > 1} <= torn.flew.keys()
    assert all(times <= 1 + torn.flew[key] for key, times in keys.items())
    assert len(keys) == total
    ledger = spent(torn.database)
    assert ledger["settled"] == total
    lost = paid["reserved"] - paid["settled"]  # in flight at a kill: paid for, and asked again
    assert ledger["reserved"] == total + lost <= total + len(SHARES) * IN_FLIGHT
    assert keys.total() <= ledger["reserved"], "nothing was sent that was not paid for"
    assert reports(tmp_path / "torn") == reports(tmp_path / "whole")
    differ = {key for key in whole.keys() | again.keys() if whole.get(key) != again.get(key)}
    assert differ <= {"spend"}
