from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from defender.build import prepare
from defender.conclusion import conclude
from defender.config import RunConfig
from defender.confirm import SearchResult
from defender.contracts import Meter
from defender.costs import Limits
from defender.engines.scripted import Scripted
from defender.errors import BudgetSpent, ConfigError
from defender.journal import Journal
from defender.ledger import Ledger
from defender.records import ModelCard
from defender.results import read_results
from defender.runs import RunFolder, open_run
from defender.session import Watch, run_search
from defender.store import SqlStore
from defender.writing import build_writer
from tests.contracts.writer import EVIDENCE
from tests.engines.fault_server import FaultServer, completion, fails, roleless, says
from tests.proposers.answers import CLAUSES, as_chat
from tests.stored_run import searched, settings, world
from tests.test_cli import defender

SEARCH = {"items": 4, "candidates": 5, "generation": 2, "finalists": 1}
QUICK: dict[str, Any] = {"confirm": {"items": 4}}


def growing(folder: Path, **writer: Any) -> RunConfig:
    return settings(folder, search={**SEARCH, "writer": {"every": 1, "clauses": 2, **writer}}, **QUICK)


def texts(result: SearchResult) -> str:
    return " ".join(trial.candidate.before for trial in result.trials)


async def grown(config: RunConfig, folder: Path, warned: list[str]) -> tuple[RunFolder, SearchResult]:
    """Search as the command line does; the measured model is scripted, the writer is asked over HTTP."""
    run = open_run(config, folder, "one")

    def engine(_: RunConfig, meter: Meter) -> Scripted:
        return Scripted(world(config), ModelCard("scripted", server="defender"), meter)

    return run, await run_search(run, prepare(config), Watch(warn=warned.append), engine)


async def test_a_served_writer_writes_and_a_resumed_search_pays_it_nothing_again(tmp_path: Path) -> None:
    warned: list[str] = []
    async with FaultServer(says(completion(as_chat())), then=fails(500)) as server:
        config = growing(tmp_path, model="tiny", base_url=server.base_url, alias="w", every=2)
        run, first = await grown(config, tmp_path, warned)
        asked, spent = len(server.bodies), read_results(run).spend["reserved"]
        _, again = await grown(config, tmp_path, warned)
        assert len(server.bodies) == asked == 1
    assert "Weigh every word." in texts(first)
    assert read_results(run).spend["reserved"] == spent
    assert [t.candidate for t in again.trials] == [t.candidate for t in first.trials]
    assert warned == []


async def test_a_writer_whose_template_refuses_a_system_message_writes_and_is_not_asked_again(tmp_path: Path) -> None:
    warned: list[str] = []
    async with FaultServer(then=roleless(says(completion(as_chat())))) as server:
        server.template = None
        config = growing(tmp_path, model="tiny", base_url=server.base_url, alias="w", every=2)
        run, first = await grown(config, tmp_path, warned)
        assert len(server.bodies) == 3, "two to find out, one to write"
        store = SqlStore(run.database, readonly=True)
        assert store.notes("card")["writer"]["system_role"] == "user"
        store.close()
        spent = read_results(run).spend["reserved"]
        await grown(config, tmp_path, warned)
        assert len(server.bodies) == 3
    assert "Weigh every word." in texts(first)
    assert read_results(run).spend["reserved"] == spent
    assert warned == []


async def test_a_budget_that_ends_while_the_writer_is_looked_at_ends_the_writing_and_not_the_run(
    tmp_path: Path,
) -> None:
    store = SqlStore(tmp_path / "run.db")
    async with FaultServer(then=roleless(says(completion(as_chat())))) as server, Journal(store) as journal:
        server.template = None
        config = growing(tmp_path, model="tiny", base_url=server.base_url)
        purse = Ledger(journal, limits=Limits(1))
        async with build_writer(config, (), purse, journal, pytest.fail) as writer:
            assert writer is not None
            with pytest.raises(BudgetSpent):
                await writer.write(EVIDENCE)
        assert len(server.bodies) == purse.spent == 1
    store.close()


async def test_under_an_alias_a_writer_that_moved_is_the_same_writer(tmp_path: Path) -> None:
    store = SqlStore(tmp_path / "run.db")
    drafts, asked = [], []
    async with Journal(store) as journal:
        for _ in range(2):
            async with FaultServer(says(completion(as_chat())), then=fails(500)) as server:
                config = growing(tmp_path, model="tiny", base_url=server.base_url, alias="w")
                async with build_writer(config, (), Ledger(journal), journal, pytest.fail) as writer:
                    assert writer is not None
                    drafts.append(await writer.write(EVIDENCE))
                asked.append(len(server.bodies))
    store.close()
    assert drafts[0] == drafts[1]
    assert asked == [1, 0]


async def test_the_writers_requests_are_in_the_runs_budget(tmp_path: Path) -> None:
    async with FaultServer(says(completion(as_chat())), then=fails(500)) as server:
        with_writer = growing(tmp_path, model="tiny", base_url=server.base_url, every=2)
        run, result = await grown(with_writer, tmp_path, [])
        spend = read_results(run).spend
        panel = 6 * 8
        measured = len({t.candidate.id for t in result.trials}) * panel
        assert spend["reserved"] >= measured + len(server.bodies)
        assert spend["settled"] == spend["reserved"]


async def test_the_writer_is_told_nothing_of_the_items(tmp_path: Path) -> None:
    async with FaultServer(says(completion(as_chat())), then=fails(500)) as server:
        config = growing(tmp_path, model="tiny", base_url=server.base_url, every=2)
        await grown(config, tmp_path, [])
        said = " ".join(message["content"] for message in json.loads(server.bodies[0])["messages"])
    for benchmark in prepare(config).benchmarks.values():
        assert not any(str(item.payload["question"]) in said for item in benchmark.rows())


async def test_a_writer_that_is_not_there_is_warned_about_and_the_search_goes_on(tmp_path: Path) -> None:
    warned: list[str] = []
    async with FaultServer() as server:
        await server.stop()
        _, result = await grown(growing(tmp_path, model="tiny", base_url=server.base_url), tmp_path, warned)
    assert result.winner
    assert warned[0].startswith("the writer cannot be reached, so no clauses are written for now")
    assert all(words.startswith("no new clauses this time: the writer is down") for words in warned[1:])
    assert len(warned) == 2, "after a failure the next writing is left out"


async def test_any_model_dspy_knows_can_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LITELLM_LOCAL_MODEL_COST_MAP", "True")  # no price list from the network
    async with FaultServer(says(completion(as_chat())), then=fails(500)) as server:
        config = growing(tmp_path, model="hosted_vllm/tiny", base_url=server.base_url, client="dspy", every=2)
        _, result = await grown(config, tmp_path, [])
    assert "Weigh every word." in texts(result)


def test_a_pool_writes_without_any_model(tmp_path: Path) -> None:
    pool = tmp_path / "pool.txt"
    pool.write_text("\n".join([*(clause["text"] for clause in CLAUSES), "A man is a man."]))
    folder, result = searched(growing(tmp_path, pool=str(pool), clauses=4), tmp_path)
    assert "Weigh every word." in texts(result)
    _, document = conclude(folder)
    report = Path(document["report"][0]).read_text()
    assert "a pool of clauses: 3 clauses entered the space, 1 were refused" in report
    assert "1 writings gave none" in report


def test_a_writer_without_its_server_ends_the_command_with_what_to_give(tmp_path: Path) -> None:
    code, out, said = defender("search", "--writer-model", "m", cwd=tmp_path)
    assert (code, out) == (2, "")
    assert "--writer-base-url" in said
    assert not (tmp_path / "runs").exists()


def test_another_pool_is_another_run_and_the_same_elsewhere_is_not(tmp_path: Path) -> None:
    pool, copy = tmp_path / "pool.txt", tmp_path / "copy.txt"
    pool.write_text("Weigh every word.\n")
    copy.write_text("Weigh every word.\n")
    configs = [growing(tmp_path, pool=str(path)) for path in (pool, copy)]
    before = [prepare(config).contents for config in configs]
    assert before[0] == before[1]
    assert configs[0].decisive() == configs[1].decisive()
    pool.write_text("Take your time.\n")
    assert prepare(configs[0]).contents != before[0]


def test_where_the_writer_listens_is_no_part_of_a_run_with_an_alias(tmp_path: Path) -> None:
    one, other, third = (
        growing(tmp_path, model="m", base_url=f"http://{host}/v1", alias=alias, timeout_s=seconds).decisive()
        for host, alias, seconds in (("a", "w", 5), ("b", "w", 9), ("a", "", 5))
    )
    assert one == other != third


def test_without_a_writer_its_settings_are_no_part_of_a_run(tmp_path: Path) -> None:
    assert settings(tmp_path).decisive() == settings(tmp_path, search=settings(tmp_path).search.model_dump()).decisive()
    assert growing(tmp_path).decisive()["search"]["writer"] is None


@pytest.mark.parametrize(
    ("writer", "search", "what"),
    [
        ({"model": "m"}, {}, "needs its server: give --writer-base-url"),
        ({"base_url": "http://a/v1"}, {}, "no model: give --writer-model"),
        ({"model": "embedded"}, {}, "cannot write"),
        ({"model": "x/m", "client": "dspy", "system_role": "user"}, {}, "expected auto with client: dspy, got user"),
        ({"model": "m", "pool": "p.txt"}, {}, "not both"),
        ({"pool": "absent.txt"}, {}, "no clause pool absent.txt"),
        ({"model": "m", "base_url": "http://a/v1"}, {"proposer": "listed"}, "another proposer than 'listed'"),
    ],
)
def test_settings_that_do_not_go_together_are_refused_before_anything_is_opened(
    tmp_path: Path, writer: dict[str, Any], search: dict[str, Any], what: str
) -> None:
    config = settings(tmp_path, search={**SEARCH, **search, "writer": writer}, **QUICK)
    with pytest.raises(ConfigError, match=what):
        prepare(config)
