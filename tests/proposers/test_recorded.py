from __future__ import annotations

import signal
import subprocess
import sys
import time
from dataclasses import replace
from itertools import count
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState

from defender.errors import SpaceError
from defender.proposers.listed import Listed
from defender.proposers.outcome import UNMEASURED_GAP
from defender.proposers.recorded import Recorded
from defender.proposers.sampled import Sampled
from defender.records import Candidate, Trial
from tests.contracts.proposer import FOREIGN, GrowingContract, measured, unmeasured
from tests.proposers.spaces import COMPACT, COMPACT_TEXTS, SMALL, SMALL_TEXTS


def refuse(warning: str) -> None:
    raise AssertionError(warning)


def recorded(folder: Path, seed: int = 3) -> Recorded:
    return Recorded(Sampled(SMALL, seed, n_startup=4), SMALL, f"sqlite:///{folder}/study.db", "mine", refuse)


def play(proposer: Recorded, rounds: int) -> list[Candidate]:
    """Ask and tell some rounds of four, the last of each round unmeasured, and close."""
    proposed: list[Candidate] = []
    for _ in range(rounds):
        *most, last = proposer.ask(4)
        proposed += [*most, last]
        proposer.tell([*map(measured, most), unmeasured(last)])
    proposer.close()
    return proposed


def stored(folder: Path) -> list[FrozenTrial]:
    return optuna.load_study(study_name="mine", storage=f"sqlite:///{folder}/study.db").trials


def names(trials: list[FrozenTrial]) -> list[str]:
    return [trial.user_attrs["candidate"] for trial in trials]


class TestRecorded(GrowingContract):
    size = COMPACT_TEXTS

    @pytest.fixture(autouse=True)
    def folders(self, tmp_path: Path) -> None:
        self.studies = (f"sqlite:///{tmp_path}/study-{number}.db" for number in count())

    def make(self) -> Recorded:
        return Recorded(Sampled(COMPACT, 3, sampler="random"), COMPACT, next(self.studies), "mine", refuse)


def test_a_study_can_be_loaded_and_says_everything_about_every_candidate(tmp_path: Path) -> None:
    proposer = recorded(tmp_path)
    one, other = proposer.ask(2)
    dropped = replace(measured(other), dropped_at=1, reason="cannot win: it is worse")
    proposer.tell([measured(one), dropped])
    proposer.close()
    first, second = stored(tmp_path)
    estimate = measured(one).estimate
    assert estimate is not None
    assert first.user_attrs["candidate"] == one.id
    assert first.user_attrs["name"] == "Original"
    assert first.user_attrs["text"] == one.template
    assert first.user_attrs["interval"] == [estimate.interval.low, estimate.interval.high]
    assert first.user_attrs["gaps"] == measured(one).gaps
    assert first.user_attrs["decision"] == "measured on the whole panel"
    assert second.user_attrs["decision"] == "dropped after block 2: cannot win: it is worse"
    assert first.params["opening"] == "plain"
    assert first.params["clause_calm"] is False
    assert "wording_calm" not in first.params
    assert optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path}/study.db").direction.name == "MINIMIZE"


def test_every_trial_has_constraints_whatever_became_of_it(tmp_path: Path) -> None:
    proposer = recorded(tmp_path)
    kept, dropped, failed, unfinished = proposer.ask(4)
    ended = Trial(unfinished, None, {}, 1, "the search budget ended first")
    proposer.tell([measured(kept), replace(measured(dropped), dropped_at=0), unmeasured(failed), ended])
    proposer.tell([measured(FOREIGN)])
    proposer.close()
    trials = stored(tmp_path)
    assert [t.state.name for t in trials] == ["COMPLETE", "COMPLETE", "FAIL", "FAIL", "COMPLETE"]
    assert all({"utility", "safety", "measured"} <= set(t.constraints) for t in trials)
    assert [t.constraints["measured"] for t in trials] == [0, 0, UNMEASURED_GAP, UNMEASURED_GAP, 0]
    assert [t.system_attrs["constraints"] for t in trials] == [
        [t.constraints[name] for name in ("safety", "utility", "measured")] for t in trials
    ]
    assert trials[3].user_attrs["decision"] == "not measured: the search budget ended first"
    assert trials[4].params == {}


def test_a_replay_adds_only_what_is_new(tmp_path: Path) -> None:
    play(recorded(tmp_path), rounds=2)
    proposed = play(recorded(tmp_path), rounds=3)
    assert names(stored(tmp_path)) == [candidate.id for candidate in proposed]


def test_what_people_wrote_into_the_study_survives_a_replay(tmp_path: Path) -> None:
    play(recorded(tmp_path), rounds=1)
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path}/study.db")
    study.set_user_attr("note", "look at the second one")
    play(recorded(tmp_path), rounds=2)
    again = optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path}/study.db")
    assert again.user_attrs == {"note": "look at the second one"}


def test_a_replay_that_went_another_way_replaces_the_study(tmp_path: Path) -> None:
    play(recorded(tmp_path), rounds=2)
    proposed = play(recorded(tmp_path, seed=4), rounds=2)
    assert names(stored(tmp_path)) == [candidate.id for candidate in proposed]


def test_a_trial_that_seems_to_run_is_failed_on_resume(tmp_path: Path) -> None:
    play(recorded(tmp_path), rounds=1)
    study = optuna.load_study(study_name="mine", storage=f"sqlite:///{tmp_path}/study.db")
    study.ask()
    play(recorded(tmp_path), rounds=2)
    assert [t.state for t in stored(tmp_path)].count(TrialState.RUNNING) == 0
    assert len(stored(tmp_path)) == 9


TORN = """
import signal, sys
from pathlib import Path
from tests.proposers.test_recorded import measured, recorded, unmeasured
proposer = recorded(Path(sys.argv[1]))
for _ in range(int(sys.argv[2])):
    batch = proposer.ask(4)
    proposer.tell([*map(measured, batch[:-1]), unmeasured(batch[-1])])
    print("told", flush=True)
signal.pause()
"""


def test_after_kills_in_the_middle_the_study_holds_every_trial_once(tmp_path: Path) -> None:
    rounds = SMALL_TEXTS // 4  # as far as a fast machine may come before it is killed
    for after in (2, 5):
        running = subprocess.Popen(
            [sys.executable, "-c", TORN, str(tmp_path), str(rounds)],
            stdout=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            text=True,
        )
        assert running.stdout is not None
        for _ in range(after):
            assert running.stdout.readline() == "told\n"
        time.sleep(0.3 * after)  # any moment will do: somewhere in the writing
        running.send_signal(signal.SIGKILL)
        running.wait()
    proposed = play(recorded(tmp_path), rounds)
    trials = stored(tmp_path)
    assert names(trials) == [candidate.id for candidate in proposed]
    assert {trial.state for trial in trials} == {TrialState.COMPLETE, TrialState.FAIL}


def test_new_clauses_become_new_flags(tmp_path: Path) -> None:
    proposer = recorded(tmp_path)
    proposer.tell([measured(candidate) for candidate in proposer.ask(2)])
    proposer.grow({"new_1": "Weigh every word."})
    proposer.tell([measured(candidate) for candidate in proposer.ask(1)])
    proposer.close()
    flags = [trial.params.get("clause_new_1") for trial in stored(tmp_path)]
    assert flags == [None, None, True]


def test_a_study_that_cannot_be_written_is_warned_about_once_and_stops_nothing(tmp_path: Path) -> None:
    said: list[str] = []
    proposer = Recorded(Sampled(SMALL, 0), SMALL, f"sqlite:///{tmp_path}/absent/study.db", "mine", said.append)
    assert len(play(proposer, rounds=3)) == 12
    assert len(said) == 1
    assert "the study 'mine' cannot be written" in said[0]


def test_any_proposer_can_be_recorded_but_only_a_growing_one_grows(tmp_path: Path) -> None:
    listed = Listed(SMALL.seed_candidates())
    proposer = Recorded(listed, SMALL, f"sqlite:///{tmp_path}/study.db", "mine", refuse)
    with pytest.raises(SpaceError, match="'Listed' cannot take new clauses"):
        proposer.grow({"new_1": "Weigh every word."})
    proposer.tell([measured(candidate) for candidate in proposer.ask(2)])
    proposer.close()
    assert [trial.user_attrs["name"] for trial in stored(tmp_path)] == ["Original", "Kind"]


def test_nothing_is_printed_while_a_study_is_written(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    play(recorded(tmp_path), rounds=1)
    assert capfd.readouterr() == ("", "")
