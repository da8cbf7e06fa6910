"""Several models in one run: the same prompts on the same items, one budget, nothing asked twice."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

from defender.abreast import conclude_several
from defender.config import RunConfig, load_config
from defender.errors import BudgetError, ConfigError
from defender.results import read_candidate, read_results
from defender.runs import RunFolder, load_run
from defender.session import Watch
from defender.several import apart, read_group, run_several
from tests.engines.fault_server import FaultServer, models, says

PROMPTS = 2


@contextmanager
def unseen(_folder: RunFolder) -> Iterator[Watch]:
    yield Watch()


def settings(folder: Path, servers: list[FaultServer], **more: Any) -> RunConfig:
    """Two prompts on three questions each, asked of every server's model."""
    names = []
    for name, text in (("plain", "You are a helpful assistant."), ("fair", "You are fair to everyone.")):
        names.append(str(folder / f"{name}.txt"))
        Path(names[-1]).write_text(text)
    asked = [{"name": f"m{place}", "base_url": server.base_url} for place, server in enumerate(servers)]
    data = {"command": "measure", "models": asked, "prompts": names, "measure.items": 3, **more}
    return load_config(None, {"benchmarks": ["miniature_utility", "miniature_safety"], **data})


def said_in(path: str) -> str:
    return Path(path).read_text()


def server(name: str) -> FaultServer:
    return FaultServer(listing=says(models(name)))


async def test_each_model_is_asked_the_same_and_stands_in_a_column(tmp_path: Path) -> None:
    async with server("m0") as first, server("m1") as second:
        config = settings(tmp_path, [first, second])
        group = await run_several(config, tmp_path / "runs" / "both", unseen)
        assert len(first.bodies) == len(second.bodies) > PROMPTS * 32 * 6 - 1
        asked = [sorted(body.replace(b'"m1"', b'"m0"') for body in one.bodies) for one in (first, second)]
        assert asked[0][-100:] == asked[1][-100:]
        lines, document = conclude_several(group)
        assert lines[0].split() == ["PB", "m0", "m1"]
        assert [line.split()[0] for line in lines[1:3]] == ["plain", "fair"]
        assert set(document["models"]) == {"m0", "m1"}
        assert set(document["worst"]) == {"plain", "fair"}
        page = (tmp_path / "runs" / "both" / "models.md").read_text()
        assert "| PB | m0 | m1 |" in page
        assert "# 2 models, the same prompts on the same items" in page
        paid = len(second.bodies)
        again = await run_several(config, tmp_path / "runs" / "both", unseen)
        assert len(second.bodies) == paid, "nothing is asked twice"
        assert conclude_several(again)[0] == lines
    read = read_group(tmp_path / "runs", "both")
    assert read is not None
    assert conclude_several(read)[0] == lines
    assert read_group(tmp_path / "runs", "nobody") is None


async def test_a_model_that_is_added_costs_its_own_requests_only(tmp_path: Path) -> None:
    async with server("m0") as first, server("m1") as second:
        await run_several(settings(tmp_path, [first]), tmp_path / "one", unseen)
        paid = len(first.bodies)
        await run_several(settings(tmp_path, [first, second]), tmp_path / "one", unseen)
        assert len(first.bodies) == paid
        assert len(second.bodies) == paid


async def test_the_budget_is_one_for_all(tmp_path: Path) -> None:
    async with server("m0") as first, server("m1") as second:
        await run_several(settings(tmp_path, [first]), tmp_path / "one", unseen)
        needed = len(first.bodies)
        config = settings(tmp_path, [first, second], **{"budget.max_requests": 2 * needed - 1})
        with pytest.raises(BudgetError, match="more requests"):
            await run_several(config, tmp_path / "both", unseen)
        assert len(second.bodies) < needed
        for folder in (tmp_path / "both").glob("both.m*"):
            assert (folder / "run.db").exists()
        enough = settings(tmp_path, [first, second], **{"budget.max_requests": 2 * needed})
        group = await run_several(enough, tmp_path / "both", unseen)
    spent = sum(read_results(folder).spend["reserved"] for folder in group.runs)
    assert spent == 2 * needed


async def test_what_was_found_on_the_first_is_tried_on_the_held_out_items_of_the_others(tmp_path: Path) -> None:
    async with server("m1") as other:
        config = load_config(None, {
            "command": "search", "space": "paper", "search.items": 3, "search.candidates": 5, "search.finalists": 1,
            "confirm.items": 3, "floors.utility": "0", "floors.safety": "0",
            "benchmarks": ["miniature_utility", "miniature_safety"],
            "models": ["embedded", {"name": "m1", "base_url": other.base_url}],
        })  # fmt: skip
        group = await run_several(config, tmp_path / "moved", unseen)
    lines, document = conclude_several(group)
    found, tried = (read_results(folder) for folder in group.runs)
    assert found.winner is not None
    assert list(tried.claims.matrices)[-1] == found.winner.id
    assert {m.items for m in tried.claims.matrices[found.winner.id]} == {
        m.items for m in found.claims.matrices[found.winner.id]
    }
    baselines = [key for key in found.baselines if key != found.winner.id]
    assert len(document["transfer"]["m1"]) == len(baselines)
    assert any(line.startswith(f"verdict  on m1: {found.winner.name} is") for line in lines)
    assert any("found on embedded, tried on the held-out items of the others" in line for line in lines)


JOINT = {
    "command": "search", "space": "paper", "search.items": 3, "search.candidates": 5, "search.finalists": 2,
    "confirm.items": 3, "floors.utility": "0", "floors.safety": "0", "seed": 3,
    "benchmarks": ["miniature_utility", "miniature_safety"],
}  # fmt: skip


@pytest.mark.parametrize("by", ["worst", "mean"])
async def test_a_joint_search_takes_the_finalist_that_suits_every_model(tmp_path: Path, by: str) -> None:
    async with server("m1") as other:
        asked = {"models": ["embedded", {"name": "m1", "base_url": other.base_url}], "search.joint": by}
        group = await run_several(load_config(None, {**JOINT, **asked}), tmp_path / "one", unseen)
        paid = len(other.bodies)
        again = await run_several(load_config(None, {**JOINT, **asked}), tmp_path / "one", unseen)
        assert again.joint == group.joint
        assert len(other.bodies) == paid, "nothing is asked twice"
    lines, document = conclude_several(group)
    joint = document["joint"]
    assert joint["by"] == by
    assert set(joint["models"]) == {"embedded", "m1"}
    over = max if by == "worst" else fmean
    found = {name: over([said["search_pb"][name] for said in joint["models"].values()]) for name in joint["order"]}
    assert list(found) == sorted(found, key=lambda name: found[name])
    assert lines[0] == f"winner   {joint['winner']['label']}, by the {by} PB over the models"
    assert said_in(document["prompt"]) == read_candidate(joint["winner"]).template
    for said in joint["models"].values():
        assert all(gap <= 0 for gap in said["floors"].values())
        assert said["comparisons"]
    read = read_group(tmp_path, "one")
    assert read is not None
    assert conclude_several(read)[0] == lines


@pytest.mark.slow
async def test_a_joint_search_never_spends_more_than_one_budget(tmp_path: Path) -> None:
    async with server("m1") as other:
        asked = {"models": ["embedded", {"name": "m1", "base_url": other.base_url}], "search.joint": "worst"}
        free = await run_several(load_config(None, {**JOINT, **asked}), tmp_path / "free", unseen)
        needed = sum(read_results(folder).spend["reserved"] for folder in free.runs)
        names = [folder.name.replace("free", "short") for folder in free.runs]
        for limit in (needed // 2, needed - 200, needed - 3):
            short = load_config(None, {**JOINT, **asked, "budget.max_requests": limit})
            with suppress(BudgetError):
                await run_several(short, tmp_path / "short", unseen)
            begun = [name for name in names if (tmp_path / "short" / name / "run.db").exists()]
            spent = sum(read_results(load_run(tmp_path / "short", name)).spend["reserved"] for name in begun)
            assert 0 < spent <= limit


async def test_what_was_stopped_before_the_last_model_had_its_turn_is_resumed_and_nothing_else_is(
    tmp_path: Path,
) -> None:
    async with server("m0") as first, server("m1") as second:
        config = settings(tmp_path, [first, second])
        with pytest.raises(ConfigError, match="nothing to resume"):
            await run_several(config, tmp_path / "both", unseen, must_exist=True)
        assert not first.bodies
        await run_several(settings(tmp_path, [first]), tmp_path / "both", unseen)
        paid = len(first.bodies)
        group = await run_several(config, tmp_path / "both", unseen, must_exist=True)
        assert (len(first.bodies), len(second.bodies), len(group.runs)) == (paid, paid, 2)


def test_a_model_that_is_named_twice_is_refused() -> None:
    config = load_config(None, {"models": ["embedded", "embedded"]})
    with pytest.raises(ConfigError, match="embedded is named twice"):
        apart(config)


def test_models_that_would_share_one_run_on_a_server_are_refused_before_anything_is_asked() -> None:
    config = load_config(None, {"models": ["embedded", "llama-3.1-8b"], "store": "postgresql://u:s3cr3t@h/d#one"})
    with pytest.raises(ConfigError, match=r"'#one' is for one run.*GROUP\.MODEL") as caught:
        apart(config)
    assert "s3cr3t" not in str(caught.value)
    assert len(apart(config.model_copy(update={"store": "postgresql://u@h/d"}))) == 2


def test_models_take_presets_and_what_the_model_section_says_of_all() -> None:
    config = load_config(
        None, {"model.max_tokens": 64, "models": ["llama-3.1-8b", {"name": "mistral-7b", "max_tokens": 9}]}
    )
    first, second = (one.model for one in apart(config))
    assert (first.vllm, first.max_tokens) == ("meta-llama/Llama-3.1-8B-Instruct", 64)
    assert (second.vllm, second.max_tokens) == ("mistralai/Mistral-7B-Instruct-v0.2", 9)
    assert apart(config)[0].models == ()
    assert (
        apart(config)[0].decisive()
        == load_config(
            None, {"model.name": "llama-3.1-8b", "model.max_tokens": 64, "benchmarks": ["mmlu", "do_not_answer"]}
        ).decisive()
    )


def test_a_joint_search_of_one_model_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"by the worst PB.* is over several models"):
        load_config(None, {"search.joint": "worst", "models": ["embedded"]})


@pytest.mark.parametrize("entry", [7, {"name": "tiny"}, {"nmae": "tiny"}])
def test_a_model_nobody_can_ask_is_refused(entry: object) -> None:
    with pytest.raises(ConfigError, match=r"models\.1|tiny|nmae"):
        load_config(None, {"models": ["embedded", entry]})
