"""Workers join a running search: the same results, nothing asked twice, one budget."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from defender.address import Address, address_of
from defender.build import prepare
from defender.config import RunConfig
from defender.confirm import SearchResult
from defender.contracts import Meter
from defender.engines.scripted import Scripted
from defender.errors import ConfigError, ResumeRefused
from defender.records import ModelCard, Request, Response
from defender.results import read_results
from defender.runs import RunFolder, open_run
from defender.session import Watch, run_measure, run_search
from defender.settings import BudgetConfig, SpeedConfig
from defender.workplace import Joining, join
from tests.postgres import Postgres
from tests.stored_run import measured, searched, settings, world

CARD = ModelCard("scripted", server="defender")
QUICK = Joining(in_flight=32, lease=8.0, wait=240.0)


@pytest.fixture
def url(postgres: Postgres, tmp_path: Path) -> str:
    name = f"w{abs(hash(str(tmp_path)))}"
    with psycopg.connect(postgres.url().replace("+psycopg", ""), autocommit=True) as admin:
        admin.execute(f'CREATE DATABASE "{name}"'.encode())
    return postgres.url(database=name)


class Counting:
    """A scripted world that counts who was asked what."""

    def __init__(self, config: RunConfig) -> None:
        self._world = world(config)
        self.asked: Counter[str] = Counter()
        self.by: Counter[str] = Counter()

    def engine(self, who: str, card: ModelCard = CARD) -> Callable[[RunConfig, Meter], Scripted]:
        def answer(request: Request) -> Response | str:
            self.asked[request.key(card.fingerprint)] += 1
            self.by[who] += 1
            return self._world(request)

        return lambda _, meter: Scripted(answer, card, meter)


def led(url: str, folder: Path, local: bool = False, requests: int | None = None) -> RunConfig:
    return settings(folder).model_copy(
        update={
            "store": url, "speed": SpeedConfig(workers="join" if local else "only"),
            "budget": BudgetConfig(max_requests=requests),
        }
    )  # fmt: skip


async def begun(address: Address, counting: Counting, who: str, said: list[str]) -> tuple[int, str]:
    """Join, also before the run has begun."""
    return await join(address, QUICK, said.append, counting.engine(who))


@pytest.mark.parametrize("local", [False, True], ids=["workers only", "and this machine"])
async def test_a_search_answered_by_workers_ends_as_one_without_and_asks_nothing_twice(
    tmp_path: Path, url: str, local: bool
) -> None:
    _, whole = await asyncio.to_thread(searched, settings(tmp_path), tmp_path / "alone")
    config = led(url, tmp_path, local)
    counting, said = Counting(config), list[str]()
    folder = open_run(config, tmp_path, "one")
    search = asyncio.create_task(run_search(folder, prepare(config), Watch(), counting.engine("owner")))
    workers = [asyncio.create_task(begun(address_of(url, "one"), counting, f"w{n}", said)) for n in range(2)]
    result = await search
    ended = await asyncio.wait_for(asyncio.gather(*workers), 120)
    same(result, whole)
    assert set(counting.asked.values()) == {1}
    assert read_results(folder).spend["reserved"] == counting.asked.total()
    assert [why for _, why in ended] == ["the run has ended"] * 2
    assert sum(answered for answered, _ in ended) == counting.by["w0"] + counting.by["w1"]
    assert (counting.by["owner"] > 0) == local
    assert sum("joined" in words for words in said) == 2


def same(one: SearchResult, other: SearchResult) -> None:
    assert one.winner == other.winner
    assert [t.candidate for t in one.trials] == [t.candidate for t in other.trials]
    assert one.comparisons == other.comparisons


async def test_workers_share_one_budget_that_is_never_overshot_and_confirm_is_paid(tmp_path: Path, url: str) -> None:
    config = led(url, tmp_path, requests=1200)
    counting = Counting(config)
    folder = open_run(config, tmp_path, "one")
    search = asyncio.create_task(run_search(folder, prepare(config), Watch(), counting.engine("owner")))
    workers = [asyncio.create_task(begun(address_of(url, "one"), counting, f"w{n}", [])) for n in range(3)]
    result = await search
    await asyncio.gather(*workers)
    assert read_results(folder).spend["reserved"] == counting.asked.total() <= 1200
    assert result.winner.id in result.confirmed


async def test_a_worker_that_serves_another_model_is_refused_with_both_shown(tmp_path: Path, url: str) -> None:
    config = led(url, tmp_path, local=True).model_copy(update={"command": "measure"})
    counting = Counting(config)
    folder = open_run(config, tmp_path, "one")
    await run_measure(folder, prepare(config), Watch(), counting.engine("owner"))
    other = counting.engine("w", ModelCard("other", server="defender"))
    with pytest.raises(ResumeRefused, match=r"model scripted, server defender.*got model other, server defender"):
        await join(address_of(url, "one"), QUICK, print, other)


async def test_a_run_that_takes_no_workers_says_so(tmp_path: Path, url: str) -> None:
    config = settings(tmp_path, command="measure").model_copy(update={"store": url})
    await asyncio.to_thread(measured, config, tmp_path)
    with pytest.raises(ConfigError, match="takes no workers; start it with --workers join"):
        await join(address_of(url, "one"), QUICK, print, Counting(config).engine("w"))


async def test_a_worker_whose_run_has_ended_ends_in_order(tmp_path: Path, url: str) -> None:
    config = led(url, tmp_path, local=True).model_copy(update={"command": "measure"})
    counting = Counting(config)
    folder: RunFolder = open_run(config, tmp_path, "one")
    await run_measure(folder, prepare(config), Watch(), counting.engine("owner"))
    assert await join(address_of(url, "one"), QUICK, print, counting.engine("w")) == (0, "the run has ended")
