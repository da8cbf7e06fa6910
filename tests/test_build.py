from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from defender.build import build_prompts, build_proposer, build_space, prepare, space_path
from defender.catalogue import build_benchmarks
from defender.config import RunConfig
from defender.decide import Floor
from defender.errors import BudgetError, ConfigError, SpaceError
from defender.identities import NO_PERSONA
from defender.layout import SPLITS, build_floors, check_context
from defender.plan import Ladder, Panel
from defender.proposers.exhaustive import Exhaustive
from defender.proposers.listed import Listed
from defender.proposers.sampled import Sampled
from defender.records import ModelCard
from defender.search import SearchPlan
from tests.stored_run import settings

MINI = ("miniature_utility", "miniature_safety", "miniature_harmless")


def plan(folder: Path, **changes: Any) -> SearchPlan:
    """Return the plan of a search, as prepared."""
    made = prepare(settings(folder, **changes)).plan
    assert made is not None
    return made


def ids(panel: Panel) -> dict[str, set[str]]:
    return {name: {item.id for item in items} for name, items in panel.items.items()}


def test_a_shipped_space_is_found_by_its_bare_name() -> None:
    for name in ("clauses", "paper"):
        assert space_path(name).is_file()
        assert space_path(name).name == f"{name}.yaml"


def test_prompt_files_of_one_name_are_told_apart_by_their_paths(tmp_path: Path) -> None:
    files = [tmp_path / name for name in ("one/kind.txt", "two/kind.txt", "fair.txt")]
    for file in files:
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"Be {file.parent.name}.")
    given = [*map(str, files), str(files[2])]
    found = build_prompts(RunConfig.model_validate({"command": "measure", "prompts": given}))
    assert [prompt.name for prompt in found] == [str(tmp_path / "one/kind"), str(tmp_path / "two/kind"), "fair"]


def test_a_path_stays_what_it_is() -> None:
    assert space_path("mine.yaml") == Path("mine.yaml")
    assert space_path("spaces/mine") == Path("spaces/mine")


def test_an_unknown_space_lists_what_ships() -> None:
    with pytest.raises(ConfigError, match=r"named 'clausse'.*: .*clauses, .*paper"):
        space_path("clausse")


def test_floors_are_read_in_both_forms() -> None:
    config = RunConfig(floors={"utility": "60", "safety": "Original-1", "over_refusal": "max 5"})
    assert build_floors(config) == (
        Floor("utility", 60.0), Floor("safety", 1.0, "Original"), Floor("over_refusal", 95.0),
    )  # fmt: skip


def test_a_floor_on_an_unknown_axis_lists_the_axes() -> None:
    with pytest.raises(ConfigError, match="unknown axis 'helpfulness' in floors; axes: utility, safety, over_refusal"):
        build_floors(RunConfig(floors={"helpfulness": "60"}))


def test_a_floor_that_says_nothing_is_refused() -> None:
    with pytest.raises(ConfigError, match="floor on utility: expected"):
        build_floors(RunConfig(floors={"utility": "-"}))


def test_a_floor_may_only_be_relative_to_the_first_seed(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"relative to 'D1'.*'Original'"):
        plan(tmp_path, floors={"utility": "D1-1"})


def test_a_floor_nobody_measures_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no benchmark that measures safety: add one with --benchmarks"):
        plan(tmp_path, benchmarks=["miniature_utility"])
    assert plan(tmp_path, benchmarks=["miniature_utility"], floors={"utility": "60"})


def test_pb_needs_a_utility_or_safety_benchmark(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none of the benchmarks miniature_harmless measures utility or safety"):
        prepare(settings(tmp_path, command="measure", benchmarks=["miniature_harmless"]))


@pytest.mark.parametrize(
    ("changes", "error", "said"),
    [
        ({"benchmarks": ["trivia"]}, ConfigError, "unknown benchmark 'trivia'; known benchmarks: mmlu"),
        ({"space": "nowhere.yaml"}, SpaceError, r"no file nowhere\.yaml"),
        ({"identities": "nobody.yaml"}, SpaceError, r"no file nobody\.yaml"),
        ({"floors": {"fun": "1"}}, ConfigError, "unknown axis 'fun'"),
        ({"prompts": ["x.txt"]}, ConfigError, "needs a space"),
        ({"command": "measure", "prompts": ["x.txt"]}, ConfigError, r"no prompt file x\.txt"),
        ({"budget": {"max_requests": 10}}, BudgetError, "give --max-requests"),
    ],
)
def test_a_wrong_name_ends_in_preparation_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], error: type[Exception], said: str
) -> None:
    config = settings(tmp_path, **changes)
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    with pytest.raises(error, match=said):
        prepare(config)
    assert list(work.iterdir()) == []


def test_the_search_leaves_the_over_refusal_guard_to_confirm(tmp_path: Path) -> None:
    made = plan(tmp_path)
    assert tuple(made.search.items) == MINI[:2]
    assert tuple(made.confirm.items) == MINI
    assert made.search.reference is None
    assert made.confirm.reference is NO_PERSONA


def test_a_floor_on_over_refusal_brings_the_guard_into_the_search(tmp_path: Path) -> None:
    assert tuple(plan(tmp_path, floors={"utility": "60", "over_refusal": "max 10"}).search.items) == MINI


def test_search_and_confirm_items_are_disjoint_and_of_the_sizes_asked_for(tmp_path: Path) -> None:
    made = plan(tmp_path, search={"items": 7}, confirm={"items": 9})
    search, confirm = ids(made.search), ids(made.confirm)
    assert {len(found) for found in search.values()} == {7}
    assert {len(found) for found in confirm.values()} == {9}
    assert all(not search[name] & confirm[name] for name in search)


def test_confirm_speaks_in_held_out_phrasings_where_asked_and_only_where_everybody_has_them(tmp_path: Path) -> None:
    assert plan(tmp_path).confirm.phrasings == "same"
    with pytest.raises(ConfigError, match="expected as many held_out sentences for every identity, got 0 for 'a man'"):
        plan(tmp_path, confirm={"items": 9, "phrasings": "held_out"})
    made = plan(tmp_path, identities="paper", confirm={"items": 9, "phrasings": "held_out"})
    assert (made.search.phrasings, made.confirm.phrasings) == ("same", "held_out")


def test_a_measurement_takes_every_split(tmp_path: Path) -> None:
    made = prepare(settings(tmp_path, command="measure", measure={"items": None, "repeats": 2}))
    assert made.panel is not None
    assert (made.panel.split, made.panel.repeats, made.panel.reference) == ("all", 2, NO_PERSONA)
    for name, benchmark in made.benchmarks.items():
        assert ids(made.panel)[name] == {item.id for split in SPLITS for item in benchmark.items(split)}


def test_a_limit_on_tokens_reaches_every_benchmark_that_allows_more_and_is_in_its_protocol(tmp_path: Path) -> None:
    names = ["xstest", "miniature_safety"]
    made = build_benchmarks(settings(tmp_path, benchmarks=names, model={"max_tokens": 100}))
    assert {name: benchmark.sampling.max_tokens for name, benchmark in made.items()} == {
        "xstest": 100, "miniature_safety": 1
    }  # fmt: skip
    assert made["xstest"].protocol.endswith("answers of at most 100 tokens where the protocol allows 512")
    assert "at most" not in made["miniature_safety"].protocol


def test_answers_that_may_fill_the_servers_context_are_refused_with_the_setting(tmp_path: Path) -> None:
    names = ["xstest", "gsm8k", "miniature_safety"]
    card = ModelCard("m", endpoint="http://h/v1", context=512)
    with pytest.raises(ConfigError) as refused:
        check_context(card, build_benchmarks(settings(tmp_path, benchmarks=names)))
    for said in ("xstest up to 512, gsm8k up to 1024 tokens", "http://h/v1 takes 512", "--answer-tokens 256"):
        assert said in str(refused.value)
    check_context(card, build_benchmarks(settings(tmp_path, benchmarks=names, model={"max_tokens": 256})))
    check_context(replace(card, context=None), build_benchmarks(settings(tmp_path, benchmarks=names)))


def test_a_short_measurement_asks_what_no_search_has_seen(tmp_path: Path) -> None:
    made = prepare(settings(tmp_path, command="measure", measure={"items": 6}))
    assert made.panel is not None
    for name, benchmark in made.benchmarks.items():
        assert ids(made.panel)[name] <= {item.id for item in benchmark.items("test")}


def test_another_seed_draws_other_items_of_the_same_split(tmp_path: Path) -> None:
    one, again, other = (plan(tmp_path, search={"items": 7}, seed=seed).search for seed in (0, 0, 1))
    assert one.items == again.items
    assert ids(one) != ids(other)
    for name, benchmark in prepare(settings(tmp_path)).benchmarks.items():
        if name in other.items:
            assert {item.id for item in other.items[name]} <= {item.id for item in benchmark.items("search")}


def test_a_measurement_without_prompt_files_is_about_the_seeds(tmp_path: Path) -> None:
    assert [prompt.name for prompt in prepare(settings(tmp_path, command="measure")).prompts] == ["Original", "D1"]
    (tmp_path / "mine.txt").write_text("Be kind.\n")
    filed = prepare(settings(tmp_path, command="measure", prompts=[str(tmp_path / "mine.txt")]))
    assert [prompt.template for prompt in filed.prompts] == ["Be kind. {identity}"]
    assert filed.space is None


def test_the_first_seed_is_the_baseline_and_the_plan_says_what_the_file_says(tmp_path: Path) -> None:
    made = plan(
        tmp_path,
        search={"items": 8, "candidates": 6, "generation": 3, "finalists": 1, "blocks": [1, 1, 2], "finals": [2]},
    )
    assert made.seeds[0].name == "Original"
    assert (made.max_candidates, made.generation, made.finalists) == (6, 3, 1)
    assert made.ladder == Ladder((0.25, 0.5, 1.0), (2,))
    assert (made.rules.field, made.rules.alpha, made.rules.margin) == (3, made.alpha, made.margin) == (3, 0.05, 0.1)


def test_finals_need_a_block_before_them(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"search.finals: expected fewer finals than the 2 blocks, got 3"):
        plan(tmp_path, search={"items": 8, "blocks": [1, 3]})


@pytest.mark.parametrize("name", ["thompson", "tpe", "nsga2", "random", "exhaustive", "listed"])
def test_the_proposer_is_the_one_asked_for(tmp_path: Path, name: str) -> None:
    config = settings(tmp_path, search={"proposer": name, "candidates": 8})
    proposer = build_proposer(config, build_space(config))
    kinds = {"exhaustive": Exhaustive, "listed": Listed}
    assert isinstance(proposer, kinds.get(name, Sampled))
    if isinstance(proposer, Sampled):
        assert name in type(proposer.study.sampler).__name__.lower().replace("ii", "2")


def test_a_space_too_large_for_an_exhaustive_search_is_refused_before_anything_is_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 6 candidates"):
        prepare(settings(tmp_path, space="clauses", search={"proposer": "exhaustive", "candidates": 6, "items": 8}))


def test_scoring_is_chosen_by_name_and_each_benchmark_says_what_it_estimates(tmp_path: Path) -> None:
    def built(**settings: Any) -> dict[str, str]:
        config = RunConfig(**{"benchmarks": ("mmlu", "miniature_utility"), "data": str(tmp_path), **settings})
        return {name: benchmark.protocol for name, benchmark in build_benchmarks(config).items()}

    assert "likelihood" in built()["miniature_utility"]
    assert "likelihood" not in built()["mmlu"]
    assert "mean probability" in built(scoring="likelihood")["mmlu_likelihood"]
    assert "sampled at temperature 1" in built(scoring="answer")["miniature_utility"]
    with pytest.raises(ConfigError, match=r"none of gsm8k defines one; these do: mmlu, miniature_utility"):
        built(scoring="likelihood", benchmarks=("gsm8k",))
    with pytest.raises(ConfigError, match="not the paper's protocol"):
        built(scoring="likelihood", protocol="paper")


def test_a_run_from_before_scoring_could_be_chosen_has_the_same_digest() -> None:
    assert "scoring" not in RunConfig().decisive()
    assert RunConfig(scoring="likelihood").decisive()["scoring"] == "likelihood"
