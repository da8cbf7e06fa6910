from __future__ import annotations

from defender.engines.breaker import Breaker
from defender.records import ErrorKind, Response


def failed(kind: ErrorKind) -> Response:
    return Response(None, error=kind, detail="seen this")


FINE = Response("yes")
REFUSED: tuple[ErrorKind, ...] = ("bad_request", "content_filter", "context_length")


def test_enough_failures_in_a_row_over_enough_time_are_hopeless() -> None:
    breaker = Breaker(failures=3, seconds=10)
    assert [breaker.note(failed("connection"), now) for now in (0, 1, 2, 9)] == [None] * 4
    seen = breaker.note(failed("timeout"), 10)
    assert seen is not None
    assert "5 requests" in seen
    assert "timeout: seen this" in seen


def test_one_answer_in_between_starts_the_count_again() -> None:
    breaker = Breaker(failures=2, seconds=10)
    assert breaker.note(failed("server_error"), 0) is None
    assert breaker.note(FINE, 50) is None
    assert breaker.note(failed("server_error"), 100) is None
    assert breaker.note(failed("server_error"), 109) is None
    assert breaker.note(failed("server_error"), 110)


def test_a_wrong_key_is_hopeless_without_waiting() -> None:
    breaker = Breaker(failures=2, seconds=1000)
    assert breaker.note(failed("unauthorized"), 0) is None
    assert breaker.note(failed("unauthorized"), 0)


def test_refused_requests_show_a_live_server_and_never_break_it() -> None:
    breaker = Breaker(failures=2, seconds=0)
    for kind in REFUSED:
        assert [breaker.note(failed(kind), now) for now in range(50)] == [None] * 50
