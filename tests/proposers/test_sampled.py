from __future__ import annotations

import math
import os
import subprocess
import sys
import warnings
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from defender.proposers.outcome import UNMEASURED_GAP
from defender.proposers.sampled import Sampled
from defender.proposers.samplers import SamplerName
from defender.records import Candidate, Trial
from defender.space import Choice
from tests.contracts.proposer import FOREIGN, GrowingContract, estimate, measured, unmeasured
from tests.proposers.spaces import COMPACT, COMPACT_TEXTS, PAPER, SMALL, SMALL_TEXTS, WIDE, point


def play(proposer: Sampled, rounds: int = 6, n: int = 4) -> list[Candidate]:
    proposed: list[Candidate] = []
    for _ in range(rounds):
        batch = proposer.ask(n)
        proposed.extend(batch)
        proposer.tell([measured(candidate) for candidate in batch])
    return proposed


class SampledContract(GrowingContract):
    sampler: SamplerName
    size = COMPACT_TEXTS

    def make(self) -> Sampled:
        return Sampled(COMPACT, seed=3, n_startup=4, sampler=self.sampler)

    def test_whatever_becomes_of_a_candidate_its_trial_has_constraints(self) -> None:
        proposer = self.make()
        whole, dropped, failed, unfinished = proposer.ask(4)
        ended = Trial(unfinished, None, {}, 1, "the search budget ended first")
        proposer.tell([measured(whole), replace(measured(dropped), dropped_at=0), unmeasured(failed), ended])
        proposer.tell([measured(COMPACT.render(Choice("plain", (("calm", "a"), ("kind", "b")))))])
        proposer.grow({"new": "Weigh every word."})
        self.play(proposer, (4, 4))
        assert {t.state.name for t in proposer.study.trials} == {"COMPLETE", "FAIL"}
        assert {frozenset(t.constraints) for t in proposer.study.trials} == {
            frozenset({"utility", "safety", "measured"})
        }


class TestSampledByThompson(SampledContract):
    sampler = "thompson"


class TestSampledByTPE(SampledContract):
    sampler = "tpe"


class TestSampledByNSGA2(SampledContract):
    sampler = "nsga2"


class TestSampledAtRandom(SampledContract):
    sampler = "random"


def test_seeds_come_first_word_for_word_and_labelled() -> None:
    proposer = Sampled(WIDE, seed=0)
    assert proposer.ask(5) == list(WIDE.seed_candidates())


def test_seeds_with_the_same_text_are_proposed_once() -> None:
    twice = replace(SMALL, seeds={"Original": Choice("plain"), "Again": Choice("plain", (), "before_clauses")})
    proposer = Sampled(twice, seed=0)
    labels = [candidate.label for candidate in proposer.ask(6)]
    assert labels == ["Original", "", "", "", "", ""]


def test_the_paper_space_has_its_five_prompts_and_no_more() -> None:
    assert {candidate.label for candidate in Sampled(PAPER, seed=1).ask(9)} == {"Original", "D1", "D2", "D3", "D4"}


def test_no_proposal_says_more_clauses_than_the_space_allows() -> None:
    said = [sum(slot.startswith("clause:") for slot, _ in c.parts) for c in Sampled(WIDE, seed=5).ask(60)]
    assert max(said) == WIDE.max_clauses


def test_sampled_clauses_come_in_many_orders() -> None:
    ideas = list(WIDE.clauses)
    orders = [[ideas.index(idea) for idea, _ in Choice(*point(c)).clauses] for c in Sampled(WIDE, seed=5).ask(30)]
    assert any(order != sorted(order) for order in orders)


def test_different_seeds_search_differently() -> None:
    assert [c.id for c in Sampled(WIDE, seed=1).ask(9)] != [c.id for c in Sampled(WIDE, seed=2).ask(9)]


REPLAY = """
from tests.proposers.test_sampled import WIDE, Sampled, play
print([candidate.id for candidate in play(Sampled(WIDE, seed=11, n_startup=6))])
"""


def test_another_process_replays_the_same_proposals() -> None:
    seen = []
    for hash_seed in ("1", "2"):  # strings hash differently in each process unless told otherwise
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed}
        done = subprocess.run(
            [sys.executable, "-c", REPLAY], capture_output=True, text=True, check=True, env=environment,
            cwd=Path(__file__).parents[2],
        )  # fmt: skip
        seen.append(done.stdout)
    assert seen[0] == seen[1] == f"{[c.id for c in play(Sampled(WIDE, seed=11, n_startup=6))]}\n"


def test_nothing_stays_running_and_every_told_trial_has_constraints() -> None:
    proposer = Sampled(SMALL, seed=3, n_startup=4)
    play(proposer, rounds=9)
    trials = proposer.study.trials
    assert len(trials) > SMALL_TEXTS, "the sampler repeated itself, so duplicates were settled too"
    assert {trial.state for trial in trials} == {TrialState.COMPLETE}
    assert {frozenset(trial.constraints) for trial in trials} == {frozenset({"utility", "safety", "measured"})}


def test_a_duplicate_of_a_pending_candidate_is_settled_with_it() -> None:
    proposer = Sampled(SMALL, seed=3)
    batch = proposer.ask(SMALL_TEXTS)
    assert any(trial.state == TrialState.RUNNING for trial in proposer.study.trials)
    proposer.tell([measured(candidate) for candidate in batch])
    by_text: dict[str, set[float]] = {}
    for trial in proposer.study.trials:
        assert trial.state == TrialState.COMPLETE
        by_text.setdefault(trial.user_attrs["candidate"], set()).add(trial.values[0])
    assert {len(values) for values in by_text.values()} == {1}
    assert len(by_text) == SMALL_TEXTS < len(proposer.study.trials)


def told_one(trial: Trial) -> optuna.trial.FrozenTrial:
    proposer = Sampled(SMALL, seed=0)
    (first,) = proposer.ask(1)
    proposer.tell([replace(trial, candidate=first)])
    return proposer.study.trials[0]


@pytest.mark.parametrize(("corrected2", "value"), [(9.0, 3.0), (-4.0, -2.0), (0.0, 0.0)])
def test_the_value_is_the_signed_root_of_corrected_pb_squared(corrected2: float, value: float) -> None:
    assert told_one(Trial(FOREIGN, estimate(corrected2), {})).value == value


def test_a_failed_trial_fails_and_is_never_feasible() -> None:
    trial = told_one(unmeasured(FOREIGN))
    assert trial.state == TrialState.FAIL
    assert max(trial.constraints.values()) == UNMEASURED_GAP


@pytest.mark.parametrize("broken", [math.nan, math.inf])
def test_an_estimate_that_is_not_finite_is_a_failure_not_a_value(broken: float) -> None:
    trial = told_one(Trial(FOREIGN, replace(estimate(1.0), corrected2=broken), {"utility": -1.0}))
    assert trial.state == TrialState.FAIL
    assert trial.constraints["measured"] > 0


def test_a_floor_that_was_not_measured_counts_as_missed() -> None:
    proposer = Sampled(SMALL, seed=0)
    one, other = proposer.ask(2)
    kept = {"utility": -2.0, "safety": -1.0}
    proposer.tell([Trial(one, estimate(4.0), kept), Trial(other, estimate(1.0), {"utility": -2.0, "safety": math.nan})])
    assert proposer.study.best_trial.user_attrs["candidate"] == one.id
    assert proposer.study.trials[1].constraints["safety"] == UNMEASURED_GAP
    (third,) = proposer.ask(1)
    proposer.tell([Trial(third, estimate(0.1), {"utility": -2.0})])
    assert proposer.study.best_trial.user_attrs["candidate"] == one.id


def test_a_run_without_floors_has_only_feasible_trials() -> None:
    assert set(told_one(Trial(FOREIGN, estimate(1.0), {})).constraints.values()) == {0.0}


def test_a_dropped_trial_keeps_its_estimate_as_its_value() -> None:
    trial = told_one(Trial(FOREIGN, estimate(4.0), {}, dropped_at=1))
    assert (trial.state, trial.value, trial.user_attrs["dropped_at"]) == (TrialState.COMPLETE, 2.0, 1)


def test_a_foreign_point_of_the_space_joins_the_study_with_its_constraints() -> None:
    proposer = Sampled(SMALL, seed=0)
    foreign = SMALL.render(Choice("fair", (("calm", "a"), ("kind", "b")), "before_clauses"))
    proposer.tell([Trial(foreign, estimate(4.0), {"utility": 1.5})])
    joined = proposer.study.trials[-1]
    assert (joined.value, joined.constraints["utility"]) == (2.0, 1.5)
    assert (joined.params["opening"], joined.params["clause_kind"]) == ("fair", True)
    assert (joined.params["rank_calm"], joined.params["rank_kind"]) == (0, 1)


@pytest.mark.parametrize(
    "parts",
    [
        (),
        (("opening", "unheard"), ("placement", "last")),
        (("opening", "plain"), ("clause:new", "x"), ("placement", "last")),
        (("opening", "plain"), ("placement", "nowhere")),
        (("opening", "plain"), ("placement", "last")),
    ],
)
def test_a_foreign_text_the_space_cannot_say_is_remembered_but_not_modelled(parts: tuple[tuple[str, str], ...]) -> None:
    proposer = Sampled(SMALL, seed=0)
    before = len(proposer.study.trials)
    proposer.tell([measured(replace(FOREIGN, parts=parts))])
    assert len(proposer.study.trials) == before
    with pytest.raises(ValueError, match="exactly once"):
        proposer.tell([measured(FOREIGN)])


QUIET = """
from tests.proposers.test_sampled import SMALL, Sampled, play
import optuna
play(Sampled(SMALL, 3), rounds=1)
assert optuna.logging.get_verbosity() == optuna.logging.INFO
"""


def test_nothing_is_printed_and_the_loggers_of_the_process_are_left_alone() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "always::UserWarning", "-c", QUIET],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
    )  # fmt: skip
    assert done.stdout + done.stderr == ""


def test_no_warning_is_raised() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        play(Sampled(SMALL, 3, n_startup=4), rounds=5)


def grown(sampler: SamplerName) -> Sampled:
    """Play eight rounds, grow by a clause, and play one more."""
    proposer = Sampled(WIDE, seed=2, sampler=sampler, n_startup=6)
    play(proposer, rounds=8)
    proposer.grow({"new": "Weigh every word."})
    play(proposer, rounds=1)
    return proposer


@pytest.mark.parametrize("sampler", ["thompson", "tpe", "nsga2", "random"])
def test_after_growing_every_earlier_trial_says_the_new_clause_was_off(sampler: SamplerName) -> None:
    before, *_, after = grown(sampler).study.trials[:32], grown(sampler).study.trials[32:]
    assert {trial.params["clause_new"] for trial in before} == {False}
    assert True in {trial.params["clause_new"] for trial in after}
    assert len({frozenset(trial.distributions.items()) for trial in (*before, *after)}) == 1, "all are modelled jointly"
    assert all(trial.constraints for trial in (*before, *after))


def test_a_new_clause_is_first_said_after_the_best_prompt_so_far() -> None:
    proposer = Sampled(WIDE, seed=2)
    play(proposer)
    best = proposer.study.best_trial.user_attrs["text"].replace(" {identity}", "")
    proposer.grow({"new_1": "Weigh every word.", "new_2": "Take your time."})
    first, second = proposer.ask(2)
    ideas = [slot for slot, _ in first.parts if slot.startswith("clause:")]
    assert ideas[-1] == "clause:new_1"
    said = [proposed.template.replace(" {identity}", "") for proposed in (first, second)]
    assert said[0].endswith("Weigh every word.")
    assert said[1].endswith("Take your time.")
    assert len(ideas) <= WIDE.max_clauses
    assert best.startswith(said[0].removesuffix(" Weigh every word."))


def test_growing_keeps_the_generations_of_a_breeding_sampler() -> None:
    generations = [t.system_attrs.get("NSGAIISampler:generation") for t in grown("nsga2").study.trials]
    assert max(g for g in generations[:32] if g is not None) >= 3
    assert {g for g in generations[32:] if g is not None} >= {max(g for g in generations[:32] if g is not None)}


def test_a_space_that_may_say_no_clause_grows_in_vain() -> None:
    mute = replace(SMALL, max_clauses=0, seeds={"Original": Choice("plain")})
    proposer = Sampled(mute, seed=0)
    assert len(proposer.ask(9)) == 2
    proposer.grow({"new": "Weigh every word."})
    assert not proposer.ask(1)
