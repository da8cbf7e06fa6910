"""What every Proposer must do. A new proposer subclasses ``ProposerContract`` and says how to make one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from zlib import crc32

import pytest

from defender.contracts import GrowingProposer, Proposer
from defender.errors import SpaceError
from defender.records import Candidate, Interval, PBEstimate, Trial

FOREIGN = Candidate("Nobody here wrote this.", label="foreign", origin="file")


def estimate(corrected2: float) -> PBEstimate:
    """Return an estimate of which only ``corrected2`` matters."""
    pb = max(corrected2, 0.0) ** 0.5
    return PBEstimate(pb, pb, corrected2, Interval(0.0, 2 * pb), 0.5, {}, {})


def measured(candidate: Candidate) -> Trial:
    """Return a trial whose value and gap are a fixed function of the candidate's text."""
    mark = crc32(candidate.digest.encode())
    return Trial(candidate, estimate(mark % 97 / 10 - 1), {"utility": mark % 7 - 5.0, "safety": -1.0})


def unmeasured(candidate: Candidate) -> Trial:
    """Return a trial that failed."""
    return Trial(candidate, None, {}, failure="the judge was down")


class ProposerContract(ABC):
    """The obligations of `defender.contracts.Proposer`, as tests. What is made must be small enough to exhaust."""

    @abstractmethod
    def make(self) -> Proposer:
        """Return a fresh proposer, each time with the same seed."""

    @property
    @abstractmethod
    def size(self) -> int:
        """How many different texts it can propose."""

    def play(self, proposer: Proposer, rounds: Sequence[int] = (1, 3, 2, 4)) -> list[str]:
        """Ask and tell in turn and return what was proposed, in order."""
        proposed: list[str] = []
        for n in rounds:
            batch = proposer.ask(n)
            proposed.extend(candidate.digest for candidate in batch)
            proposer.tell([measured(candidate) for candidate in batch])
        return proposed

    def test_it_is_a_proposer(self) -> None:
        assert isinstance(self.make(), Proposer)

    def test_it_returns_at_most_what_was_asked_for(self) -> None:
        proposer = self.make()
        assert len(proposer.ask(0)) == 0
        assert len(proposer.ask(1)) == 1
        assert len(proposer.ask(2)) == 2

    def test_it_proposes_every_text_once_and_then_nothing(self) -> None:
        proposer = self.make()
        proposed = self.play(proposer, [3] * (self.size // 3 + 2))
        assert len(proposed) == len(set(proposed)) == self.size
        assert len(proposer.ask(5)) == 0

    def test_it_proposes_every_text_once_when_nothing_is_told_in_between(self) -> None:
        batch = self.make().ask(self.size + 5)
        assert len(batch) == len({candidate.digest for candidate in batch}) == self.size

    def test_the_same_asks_and_tells_give_the_same_proposals(self) -> None:
        assert self.play(self.make()) == self.play(self.make())

    def test_the_order_within_one_tell_does_not_matter(self) -> None:
        after = []
        for step in (1, -1):
            proposer = self.make()
            mine = proposer.ask(3)
            others = [other for other in self.make().ask(self.size)[-3:] if other not in mine]
            proposer.tell([measured(candidate) for candidate in (*mine, *others, FOREIGN)][::step])
            after.append([candidate.digest for candidate in proposer.ask(2)])
        assert after[0] == after[1]

    def test_candidates_may_be_told_late_and_out_of_turn(self) -> None:
        proposer = self.make()
        first, second = proposer.ask(2), proposer.ask(2)
        proposer.tell([measured(second[1])])
        third = proposer.ask(1)
        proposer.tell([measured(candidate) for candidate in (*third, second[0], *first[::-1])])
        proposed = [candidate.digest for candidate in (*first, *second, *third, *proposer.ask(1))]
        assert len(proposed) == len(set(proposed)) == 6

    def test_failures_and_foreign_trials_are_taken_and_do_not_stop_it(self) -> None:
        proposer = self.make()
        proposer.tell([measured(FOREIGN)])
        proposer.tell([unmeasured(candidate) for candidate in proposer.ask(3)])
        assert len(proposer.ask(2)) == 2

    def test_a_candidate_measured_elsewhere_is_not_proposed(self) -> None:
        known = self.make().ask(self.size)[2]
        proposer = self.make()
        proposer.tell([measured(known)])
        digests = [candidate.digest for candidate in proposer.ask(self.size)]
        assert known.digest not in digests
        assert len(digests) == self.size - 1

    def test_telling_a_candidate_twice_is_refused_and_nothing_is_learned(self) -> None:
        proposer = self.make()
        one, other = proposer.ask(2)
        proposer.tell([measured(one)])
        with pytest.raises(ValueError, match="exactly once"):
            proposer.tell([measured(other), measured(one)])
        with pytest.raises(ValueError, match="exactly once"):
            proposer.tell([measured(other), measured(other)])
        proposer.tell([measured(other)])


class GrowingContract(ProposerContract):
    """The obligations of `defender.contracts.GrowingProposer`. The space that is made takes any new clause."""

    @abstractmethod
    def make(self) -> GrowingProposer:
        """Return a fresh proposer, each time with the same seed."""

    def played(self) -> tuple[GrowingProposer, list[str]]:
        """Ask and tell, grow, ask and tell again; return what was proposed, in order."""
        proposer = self.make()
        before = self.play(proposer, (2, 3))
        proposer.grow({"new_1": "Weigh every word.", "new_2": "Take your time."})
        return proposer, [*before, *self.play(proposer, (3, 2, 4))]

    def test_it_is_a_growing_proposer(self) -> None:
        assert isinstance(self.make(), GrowingProposer)

    def test_what_was_proposed_before_growing_is_not_proposed_again(self) -> None:
        _, proposed = self.played()
        assert len(proposed) == len(set(proposed)) == 14

    def test_the_same_asks_tells_and_growths_give_the_same_proposals(self) -> None:
        assert self.played()[1] == self.played()[1]

    def test_every_new_clause_is_said_and_everything_old_still_is(self) -> None:
        proposer = self.make()
        self.play(proposer, (4,))
        proposer.grow({"new_1": "Weigh every word."})
        texts = []
        while batch := proposer.ask(16):
            texts += [candidate.system("") for candidate in batch]
            proposer.tell([measured(candidate) for candidate in batch])
        new = [text for text in texts if "Weigh every word." in text]
        assert new
        assert len(texts) - len(new) == self.size - 4

    def test_an_exhausted_proposer_goes_on_after_growing(self) -> None:
        proposer = self.make()
        self.play(proposer, [self.size + 1])
        assert not proposer.ask(1)
        proposer.grow({"new_1": "Weigh every word."})
        assert "Weigh every word." in proposer.ask(1)[0].system("")

    def test_candidates_asked_before_growing_may_be_told_after_it(self) -> None:
        proposer = self.make()
        waiting = proposer.ask(3)
        proposer.grow({"new_1": "Weigh every word."})
        proposer.tell([measured(waiting[0]), unmeasured(waiting[1])])
        again = {candidate.digest for candidate in proposer.ask(10)}
        assert not again & {candidate.digest for candidate in waiting}
        proposer.tell([measured(waiting[2])])

    def test_a_clause_that_is_there_already_is_refused_and_nothing_changes(self) -> None:
        proposer = self.make()
        proposer.grow({"new_1": "Weigh every word."})
        with pytest.raises(SpaceError, match="new_1"):
            proposer.grow({"new_2": "Take your time.", "new_1": "Again."})
        with pytest.raises(SpaceError, match="white space"):
            proposer.grow({"new_3": " Padded."})
        assert self.play(proposer, (5,))
