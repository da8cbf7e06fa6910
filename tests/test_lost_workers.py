"""A search on a server with three workers: one killed, one cut off for 20 s, and the database restarted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from defender.address import address_of
from defender.engines.lanes import AHEAD
from defender.errors import StoreError
from defender.store import SqlStore
from tests.counting_server import CountingServer
from tests.line import Line
from tests.postgres import NoPostgresError, Postgres
from tests.stored_run import settings, world

REPO = Path(__file__).parents[1]
IN_FLIGHT = 8
CUT_S = 20.0
SETTLED_S = 8.0
"""What a worker that was cut off may still send: requests that were paid for in the moment of the cut."""


@contextmanager
def running(*arguments: str, cwd: Path) -> Iterator[subprocess.Popen[str]]:
    """Start the real command; whatever is left of it is killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", "defender.cli", *arguments],
        cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "DEFENDER_DATA": "", "PYTHONPATH": str(REPO)},
    )  # fmt: skip
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def until(what: Callable[[], bool], search: subprocess.Popen[str], seconds: float = 600.0) -> None:
    deadline = time.monotonic() + seconds
    while not what():
        if search.poll() is not None:
            pytest.fail(f"the search ended too early: {search.communicate()}")
        assert time.monotonic() < deadline, "it took too long"
        time.sleep(0.02)


def search_of(folder: Path, url: str, command: str = "search") -> tuple[str, ...]:
    """Return the arguments of a search, or of a measurement; the run file lies in ``folder``."""
    config = settings(folder)
    file = folder / "run.yaml"
    kept = ("space", "identities", "search", "confirm", "measure")
    document = {
        key: value for key, value in config.model_dump(mode="json", exclude_defaults=True).items() if key in kept
    }
    miniature = ["miniature_utility", "miniature_safety", "miniature_harmless"]
    file.write_text(yaml.safe_dump(document | {"benchmarks": miniature}))
    model = ("--model", "tiny", "--base-url", url, "--alias", "world")
    return (command, "--config", str(file), *model, "--json", "--in-flight", str(IN_FLIGHT))


def stored(address: str, run: str, keys: set[str]) -> set[str]:
    """Return which of the keys have a durable response."""
    with closing(SqlStore(address_of(address, run), readonly=True)) as store:
        return set(store.responses(keys))


def ended(worker: subprocess.Popen[str]) -> str:
    """Return why a worker ended, in order."""
    told, said = worker.communicate(timeout=240)
    assert worker.returncode == 0, said
    return str(json.loads(told)["ended"])


@pytest.fixture
def server() -> Iterator[Postgres]:
    try:
        made = Postgres(durable=True)
    except NoPostgresError as why:
        pytest.skip(str(why))
    try:
        yield made
    finally:
        made.remove()


class Scene:
    """What was asked, by key, and how much of it was durable when a worker was lost."""

    def __init__(self, counting: CountingServer, fingerprint: str) -> None:
        self._counting = counting
        self._fingerprint = fingerprint

    def asked(self, who: str) -> set[str]:
        return {one.request.key(self._fingerprint) for one in self._counting.asked if one.who == who}

    def total(self) -> int:
        return len(self._counting.asked)

    def twice(self) -> dict[str, list[str]]:
        """Return who asked, in order, of every key that was asked more than once."""
        by_key: dict[str, list[str]] = defaultdict(list)
        for one in self._counting.asked:
            by_key[one.request.key(self._fingerprint)].append(one.who)
        return {key: who for key, who in by_key.items() if len(who) > 1}


@contextmanager
def joined(
    url: str, counting: CountingServer, who: str, folder: Path, search: subprocess.Popen[str], run: str
) -> Iterator[subprocess.Popen[str]]:
    """Start a worker once the run takes it."""
    direct = address_of(url, run)

    def takes() -> bool:
        try:
            with closing(SqlStore(direct, readonly=True)) as store:
                return bool(store.notes("joining"))
        except StoreError:
            return False

    until(takes, search)
    own = ("--base-url", counting.url(who), "--in-flight", str(IN_FLIGHT), "--lease", "8", "--json")
    with running("worker", "--run", f"{url}#{run}", *own, cwd=folder) as worker:
        yield worker


@pytest.mark.slow
def test_three_workers_one_killed_one_cut_off_and_the_database_restarted_change_nothing(
    tmp_path: Path, server: Postgres
) -> None:
    config = settings(tmp_path)
    with CountingServer(world(config)) as alone:
        with running(*search_of(tmp_path, alone.url("x")), "--run", "whole", cwd=tmp_path) as search:
            out, said = search.communicate(timeout=600)
        assert search.returncode == 0, said
        whole: dict[str, Any] = json.loads(out)
        assert len(alone.asked) == whole["spend"]["reserved"]
    url = server.url()
    with CountingServer(world(config), seconds=0.25) as counting, Line(server.port) as line:
        kept = ("--store", url, "--workers", "only", "--run", "torn")
        with (
            running(*search_of(tmp_path, counting.url("x")), *kept, cwd=tmp_path) as search,
            joined(server.url(), counting, "a", tmp_path, search, "torn") as killed,
            joined(server.url(), counting, "b", tmp_path, search, "torn") as steady,
            joined(server.url(line.port), counting, "c", tmp_path, search, "torn") as cut,
        ):
            with closing(SqlStore(address_of(url, "torn"), readonly=True)) as store:
                scene = Scene(counting, str(store.notes("card")["model"]["fingerprint"]))
            until(lambda: scene.total() > 150 and {"a", "b", "c"} <= {one.who for one in counting.asked}, search)

            killed.send_signal(signal.SIGKILL)
            killed.wait()
            time.sleep(0.2)  # what it committed in its last moment is there
            flew_a = scene.asked("a") - stored(url, "torn", scene.asked("a"))
            until(lambda: scene.total() > 300, search)

            line.hold()
            begun = time.monotonic()
            time.sleep(0.2)
            durable = stored(url, "torn", scene.asked("c"))
            until(lambda: time.monotonic() > begun + CUT_S, search)
            flew_c = scene.asked("c") - durable - flew_a
            late = [one for one in counting.asked if one.who == "c" and one.at > begun + SETTLED_S]
            line.mend()
            before = len(scene.asked("c"))
            until(lambda: len(scene.asked("c")) > before + IN_FLIGHT, search)  # it works again

            server.stop(signal.SIGINT)
            time.sleep(1.0)
            server.start()
            out, said = search.communicate(timeout=600)
            assert search.returncode == 0, said
            assert ended(steady) == ended(cut) == "the run has ended"
        torn = json.loads(out)
        assert not late, "it went on sending although it could not pay"
        assert {key: who for key, who in scene.twice().items() if key not in flew_a | flew_c} == {}
        assert Counter(who[0] for who in scene.twice().values()).keys() <= {"a", "c"}
        assert len(flew_a) <= AHEAD * IN_FLIGHT
        assert len(flew_c) <= AHEAD * IN_FLIGHT
        assert max(map(len, scene.twice().values()), default=1) <= 2
        assert torn["spend"]["answers"] == whole["spend"]["answers"]
        # What the killed one had paid for and not sent yet stays paid for.
        assert scene.total() <= torn["spend"]["reserved"] <= scene.total() + AHEAD * IN_FLIGHT
        assert torn["winner"] | {"run": ""} == whole["winner"] | {"run": ""}
        assert torn["comparisons"] == whole["comparisons"]


@dataclass(frozen=True)
class Measuring:
    """A measurement whose one worker, "a", asks everything: its command, its processes, and who was asked."""

    counting: CountingServer
    command: tuple[str, ...]
    run: str
    lead: subprocess.Popen[str]
    worker: subprocess.Popen[str]

    def nothing_was_asked_twice(self) -> bool:
        asked = self.counting.asked
        return len({one.request.key("") for one in asked}) == len(asked)


@contextmanager
def measuring(folder: Path, postgres: Postgres) -> Iterator[Measuring]:
    """Start it; whatever is left of it is killed at the end."""
    run = f"torn-{folder.name}"
    with CountingServer(world(settings(folder)), seconds=0.1) as counting:
        kept = ("--store", postgres.url(), "--workers", "only", "--run", run)
        command = (*search_of(folder, counting.url("x"), "measure"), *kept)
        with (
            running(*command, cwd=folder) as lead,
            joined(postgres.url(), counting, "a", folder, lead, run) as worker,
        ):
            yield Measuring(counting, command, run, lead, worker)


def test_when_whoever_leads_the_search_is_killed_its_workers_wait_and_the_same_command_goes_on(
    tmp_path: Path, postgres: Postgres
) -> None:
    with measuring(tmp_path, postgres) as on:
        until(lambda: len(on.counting.asked) > 40, on.lead)
        on.lead.kill()
        on.lead.wait()
        with running(*on.command, "--resume", cwd=tmp_path) as again:
            out, said = again.communicate(timeout=600)
        assert again.returncode == 0, said
        told, said = on.worker.communicate(timeout=240)
        assert on.worker.returncode == 0, said
    spend = json.loads(out)["spend"]
    assert spend["answers"] == json.loads(told)["answered"] == sum(one.who == "a" for one in on.counting.asked)
    assert spend["reserved"] == len(on.counting.asked)
    assert on.nothing_was_asked_twice()


def test_a_worker_that_is_told_to_stop_ends_in_order(tmp_path: Path, postgres: Postgres) -> None:
    with measuring(tmp_path, postgres) as on:
        until(lambda: any(one.who == "a" for one in on.counting.asked), on.lead)
        on.worker.send_signal(signal.SIGINT)
        told, said = on.worker.communicate(timeout=240)
        assert on.worker.returncode == 0, said
        assert "stopped by the user" in json.loads(told)["ended"]
        with joined(postgres.url(), on.counting, "b", tmp_path, on.lead, on.run) as other:
            out, said = on.lead.communicate(timeout=600)
            assert on.lead.returncode == 0, said
            assert ended(other) == "the run has ended"
    assert json.loads(out)["spend"]["reserved"] == len(on.counting.asked)
    assert on.nothing_was_asked_twice()
