"""What every Queue must do. A new queue subclasses ``QueueContract`` and says how to open one, and its store."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod

from defender.contracts import Queue, Store
from defender.errands import Errand, Outcome
from defender.records import Request, Response, Sampling

ANSWER = Response("B.", "stop", prompt_tokens=12, completion_tokens=2)
FAILURE = Response(None, error="timeout", attempts=3)
REQUEST = Request(
    (("system", "Be \ud83d \x00 kind.\U0001f600"), ("user", "?")),
    Sampling(0.7, 9, 0.9, 5, 3),
    7,
    2,
    '{"type": "object"}',
)
ERRANDS = [Errand(f"k{n}", REQUEST, held=n) for n in range(6)]
LONG, SHORT = 60.0, 0.2


class QueueContract(ABC):
    """The suite. ``open`` gives the queue and the store of one new run."""

    @abstractmethod
    def open(self) -> tuple[Queue, Store]: ...

    def test_it_is_a_queue(self) -> None:
        assert isinstance(self.open()[0], Queue)

    def test_errands_come_back_exactly_in_the_order_they_were_put_and_each_to_one_worker(self) -> None:
        queue, _ = self.open()
        queue.exchange([], ERRANDS[:4])
        queue.exchange([], ERRANDS[2:])
        assert list(queue.lease("a", 2, LONG)) == ERRANDS[:2]
        assert list(queue.lease("b", 9, LONG)) == ERRANDS[2:]
        assert list(queue.lease("a", 9, LONG)) == []

    def test_a_response_that_is_committed_ends_its_errand_whoever_holds_it(self) -> None:
        queue, store = self.open()
        queue.exchange([], ERRANDS[:3])
        queue.lease("a", 2, LONG)
        store.commit([("k0", ANSWER), ("k1", FAILURE), ("k2", ANSWER)])
        assert list(queue.outcomes()) == [Outcome("k0", ANSWER), Outcome("k1", FAILURE), Outcome("k2", ANSWER)]
        assert list(queue.lease("b", 9, LONG)) == []
        queue.exchange(["k0", "k1"], [ERRANDS[1]])
        assert [outcome.key for outcome in queue.outcomes()] == ["k2"]
        assert list(queue.lease("b", 9, LONG)) == [ERRANDS[1]], "a failure may be asked for again"

    def test_a_lease_that_is_not_renewed_ends_and_one_that_is_does_not(self) -> None:
        queue, _ = self.open()
        queue.exchange([], ERRANDS[:2])
        queue.lease("dead", 1, LONG)
        queue.lease("alive", 1, SHORT)
        queue.renew("dead", ["k0"], SHORT)
        assert list(queue.renew("alive", ["k0", "k1"], LONG)) == ["k1"]
        time.sleep(2 * SHORT)
        assert list(queue.lease("other", 9, LONG)) == ERRANDS[:1]
        assert list(queue.renew("dead", ["k0"], LONG)) == [], "it is another's now"

    def test_what_a_worker_does_not_name_is_not_kept_for_it(self) -> None:
        queue, _ = self.open()
        queue.exchange([], ERRANDS[:2])
        queue.lease("a", 9, SHORT)
        queue.renew("a", ["k0"], LONG)
        time.sleep(2 * SHORT)
        assert list(queue.lease("b", 9, LONG)) == ERRANDS[1:2]

    def test_what_was_answered_by_one_whose_lease_ended_is_not_leased_again(self) -> None:
        queue, store = self.open()
        store.commit([("k1", ANSWER), ("k2", FAILURE)])
        queue.exchange([], ERRANDS[:3])
        queue.lease("dead", 9, 0.0)
        assert list(queue.lease("other", 9, LONG)) == [ERRANDS[0], ERRANDS[2]]
        assert list(queue.outcomes()) == [Outcome("k1", ANSWER)]

    def test_what_a_worker_gives_back_others_get_at_once(self) -> None:
        queue, store = self.open()
        queue.exchange([], ERRANDS[:2])
        queue.lease("a", 9, LONG)
        store.commit([("k0", ANSWER)])
        queue.release("a")
        assert list(queue.lease("b", 9, LONG)) == ERRANDS[1:2]

    def test_a_refusal_reaches_the_owner_in_its_words_and_never_hides_an_answer(self) -> None:
        queue, store = self.open()
        queue.exchange([], ERRANDS[:2])
        store.commit([("k0", ANSWER)])
        queue.refuse(["k0", "k1"], "the budget is spent")
        assert list(queue.outcomes()) == [Outcome("k0", ANSWER), Outcome("k1", None, "the budget is spent")]

    def test_only_what_nobody_holds_is_withdrawn(self) -> None:
        queue, store = self.open()
        queue.exchange([], ERRANDS[:4])
        queue.lease("a", 1, LONG)
        queue.lease("dead", 1, 0.0)
        store.commit([("k3", ANSWER)])
        assert set(queue.withdraw()) == {"k1", "k2"}
        assert [outcome.key for outcome in queue.outcomes()] == ["k3"]

    def test_who_is_there_is_known_by_the_clock_of_the_queue(self) -> None:
        queue, _ = self.open()
        assert queue.owner() is None
        queue.announce()
        seen = queue.owner()
        assert seen is not None
        assert not seen.ended
        assert seen.seconds < LONG
        queue.announce(ended=True)
        ended = queue.owner()
        assert ended is not None
        assert ended.ended
        queue.renew("a", [], LONG)
        queue.renew("b", [], LONG)
        assert queue.workers(LONG) == 2
        queue.release("a")
        assert queue.workers(LONG) == 1
        time.sleep(SHORT)
        assert queue.workers(SHORT / 2) == 0
