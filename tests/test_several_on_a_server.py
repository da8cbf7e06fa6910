"""Several models whose runs are kept on a PostgreSQL server: the same results, with workers, passwords and kill -9."""

from __future__ import annotations

import json
import subprocess
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import psycopg
import pytest
import yaml

from defender.abreast import conclude_several
from defender.config import RunConfig, load_config
from defender.engines.scripted import PlantedBias
from defender.identities import load_identities
from defender.results import read_results
from defender.runs import RunFolder
from defender.session import Watch
from defender.several import read_group, run_several
from tests.counting_server import Asked, CountingServer
from tests.postgres import Postgres
from tests.stored_run import settings
from tests.test_lost_workers import IN_FLIGHT, ended, joined, running, until

NAMES = ("m0", "m1")
SLOW_S, QUICK_S = 0.5, 0.01
"""How long an answer takes while somebody is waited for, and otherwise."""


@contextmanager
def unseen(_folder: RunFolder) -> Iterator[Watch]:
    yield Watch()


class Stubborn(PlantedBias):
    """A model of its own: what helps the other one hurts it."""

    FADES = MappingProxyType({"equally": 0.2, "ignore": 1.5})


class Servers:
    """Both models, each on a server of its own. Use it as a context manager."""

    def __init__(self, folder: Path, seconds: float = 0.0) -> None:
        people = [identity.sentence for identity in load_identities(Path(settings(folder).identities))]
        self.each = [CountingServer(kind(people), seconds) for kind in (PlantedBias, Stubborn)]

    def __enter__(self) -> Self:
        for one in self.each:
            one.__enter__()
        return self

    def __exit__(self, *exc: object) -> None:
        for one in self.each:
            one.__exit__()

    @property
    def asked(self) -> list[Asked]:
        return [asked for one in self.each for asked in one.asked]


def asking(folder: Path, servers: Servers, **more: Any) -> dict[str, Any]:
    """Return the run file of a search on both models."""
    kept = settings(folder).model_dump(mode="json", exclude_defaults=True)
    space = Path(kept["space"])
    space.write_text(space.read_text().replace("  D1: {clauses: {equal: a}}\n", ""))  # a find, not a seed
    few = {"search": {"items": 5, "candidates": 4, "generation": 4, "finalists": 1}, "confirm": {"items": 5}}
    served = [
        {"name": "tiny", "alias": name, "base_url": server.url("leader")}
        for name, server in zip(NAMES, servers.each, strict=True)
    ]
    return {key: kept[key] for key in ("space", "identities")} | {
        **few, "command": "search", "models": served, "benchmarks": ["miniature_utility", "miniature_safety"], **more,
    }  # fmt: skip


def read(folder: Path, document: dict[str, Any]) -> RunConfig:
    (folder / "run.yaml").write_text(yaml.safe_dump(document))
    return load_config(folder / "run.yaml", {})


@pytest.fixture(scope="module")
def locked(postgres: Postgres) -> str:
    return postgres.lock("careful", "s3cr3t")


async def test_a_search_tried_on_other_models_ends_on_a_server_as_in_files_and_keeps_no_password(
    tmp_path: Path, locked: str
) -> None:
    with Servers(tmp_path) as server:
        config = read(tmp_path, asking(tmp_path, server))
        _, whole = conclude_several(await run_several(config, tmp_path / "files" / "both", unseen))
        paid = len(server.asked)
        kept = config.model_copy(update={"store": locked})
        lines, document = conclude_several(await run_several(kept, tmp_path / "runs" / "both", unseen))
        assert len(server.asked) == 2 * paid
        assert document["transfer"] == whole["transfer"]
        assert document["worst"] == whole["worst"]
        again = await run_several(kept, tmp_path / "runs" / "both", unseen, must_exist=True)
        assert len(server.asked) == 2 * paid, "nothing is asked twice"
    assert [folder.name for folder in again.runs] == ["both.tiny-m0", "both.tiny-m1"]
    found = read_group(tmp_path / "runs", "both", locked)
    assert found is not None
    assert costless(conclude_several(found)[0]) == costless(lines)
    assert not list((tmp_path / "runs").rglob("run.db"))
    assert "s3cr3t" not in "".join(said_below(tmp_path))


def costless(lines: list[str]) -> list[str]:
    """Leave out the hours at work: every sitting has some."""
    return [line for line in lines if not line.startswith("cost ")]


def said_below(folder: Path) -> list[str]:
    return [path.read_text(errors="replace") for path in folder.rglob("*") if path.is_file()]


def measuring(folder: Path, server: Servers, url: str) -> RunConfig:
    return read(folder, asking(folder, server, command="measure", measure={"items": 3}, store=url))


async def test_what_a_later_model_has_spent_is_known_behind_a_password_too(tmp_path: Path, locked: str) -> None:
    with Servers(tmp_path) as server:
        config = measuring(tmp_path, server, locked)
        group = await run_several(config, tmp_path / "spent", unseen)
        first, second = (read_results(folder).spend["reserved"] for folder in group.runs)
        budget = config.budget.model_copy(update={"max_requests": 3 * (first + second)})
        again = await run_several(config.model_copy(update={"budget": budget}), tmp_path / "spent", unseen)
    assert [folder.config.budget.max_requests for folder in again.runs] == [
        3 * first + 2 * second, 2 * first + 3 * second
    ]  # fmt: skip


class KilledError(Exception):
    """Stands for a process that was killed between making a run's folder and its tables."""


@contextmanager
def killed_before_the_last(folder: RunFolder) -> Iterator[Watch]:
    if folder.name.endswith(NAMES[-1]):
        raise KilledError
    yield Watch()


async def test_a_run_that_was_killed_before_its_tables_were_made_goes_on(tmp_path: Path, locked: str) -> None:
    with Servers(tmp_path) as server:
        config = measuring(tmp_path, server, locked)
        with pytest.raises(KilledError):
            await run_several(config, tmp_path / "early", killed_before_the_last)
        group = await run_several(config, tmp_path / "early", unseen)
    spent = [read_results(folder).spend["reserved"] for folder in group.runs]
    assert sum(spent) == len(server.asked)
    assert min(spent) > 0


@pytest.mark.slow
async def test_a_joint_search_survives_kill_9_twice_with_workers_and_asks_nothing_twice(
    tmp_path: Path, postgres: Postgres
) -> None:
    name = f"j{abs(hash(str(tmp_path)))}"
    with psycopg.connect(postgres.url().replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
    url = postgres.url(database=name)
    with Servers(tmp_path) as alone:
        config = read(tmp_path, asking(tmp_path, alone))
        joint = config.search.model_copy(update={"joint": "worst"})
        whole = await run_several(config.model_copy(update={"search": joint}), tmp_path / "alone", unseen)
    with Servers(tmp_path, SLOW_S) as servers, ExitStack() as stack:
        read(tmp_path, asking(tmp_path, servers))
        first, second = (one.asked for one in servers.each)
        command = (
            *("search", "--config", "run.yaml", "--joint", "worst", "--store", url, "--run", "both"),
            *("--in-flight", str(IN_FLIGHT), "--json", "--workers"),
        )

        leader = stack.enter_context(running(*command, "only", cwd=tmp_path))
        worker = stack.enter_context(joined(url, servers.each[0], "w", tmp_path, leader, "both.tiny-m0"))
        until(lambda: sum(one.who == "w" for one in first) > 2 * IN_FLIGHT, leader)
        lost(leader)
        servers.each[0].seconds = QUICK_S

        leader = stack.enter_context(running(*command, "join", cwd=tmp_path))
        until(lambda: len(second) > IN_FLIGHT, leader)
        assert ended(worker) == "the run has ended"
        servers.each[0].seconds = SLOW_S
        other = stack.enter_context(joined(url, servers.each[1], "w", tmp_path, leader, "both.tiny-m1"))
        until(lambda: any(one.who == "w" for one in second), leader)
        servers.each[1].seconds = QUICK_S
        searched = len(first)
        until(lambda: len(first) > searched, leader)  # judging what the other model found
        lost(leader)
        servers.each[0].seconds = QUICK_S
        assert ended(other) == "the run has ended"

        leader = stack.enter_context(running(*command, "none", "--resume", cwd=tmp_path))
        out, said = leader.communicate(timeout=600)
        assert leader.returncode == 0, said
        asked = Counter(one.request.key(str(n)) for n, one in enumerate_models(servers))
        assert asked.total() - len(asked) <= IN_FLIGHT, "what was in flight, and no more, is asked twice"
    found = json.loads(out)
    assert found["joint"] == json.loads(json.dumps(whole.joint))
    group = read_group(tmp_path / "runs", "both", url)
    assert group is not None
    spent = sum(read_results(folder).spend["reserved"] for folder in group.runs)
    assert asked.total() <= spent <= asked.total() + 2 * IN_FLIGHT
    with running("report", "both", "--store", url, "--json", cwd=tmp_path) as report:
        out, said = report.communicate(timeout=240)
    assert report.returncode == 0, said
    assert json.loads(out)["joint"] == found["joint"]


def enumerate_models(servers: Servers) -> Iterator[tuple[int, Asked]]:
    for place, one in enumerate(servers.each):
        yield from ((place, asked) for asked in one.asked)


def lost(leader: subprocess.Popen[str]) -> None:
    leader.kill()
    leader.wait()
