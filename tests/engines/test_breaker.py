from __future__ import annotations

from defender.engines.breaker import Breaker
from defender.records import ErrorKind, Response


def failed(kind: ErrorKind) -> Response:
    return Response(None, error=kind, detail="seen this")


def note(breaker: Breaker, response: Response, now: float) -> str | None:
    """Note a request that ended as soon as it was sent."""
    return breaker.note(response, now, begun=now)


FINE = Response("yes")
REFUSED: tuple[ErrorKind, ...] = ("bad_request", "content_filter", "context_length")


def test_enough_failures_in_a_row_over_enough_time_are_hopeless() -> None:
    breaker = Breaker(failures=3, seconds=10)
    assert [note(breaker, failed("connection"), now) for now in (0, 1, 2, 9)] == [None] * 4
    seen = note(breaker, failed("timeout"), 10)
    assert seen is not None
    assert "5 requests" in seen
    assert "timeout: seen this" in seen


def test_one_answer_in_between_starts_the_count_again() -> None:
    breaker = Breaker(failures=2, seconds=10)
    assert note(breaker, failed("server_error"), 0) is None
    assert note(breaker, FINE, 50) is None
    assert note(breaker, failed("server_error"), 100) is None
    assert note(breaker, failed("server_error"), 109) is None
    assert note(breaker, failed("server_error"), 110)


def test_a_wrong_key_is_hopeless_without_waiting() -> None:
    breaker = Breaker(failures=2, seconds=1000)
    assert note(breaker, failed("unauthorized"), 0) is None
    assert note(breaker, failed("unauthorized"), 0)


def test_refused_requests_show_a_live_server_and_never_break_it() -> None:
    breaker = Breaker(failures=2, seconds=0)
    for kind in REFUSED:
        assert [note(breaker, failed(kind), now) for now in range(50)] == [None] * 50


def test_a_server_that_hangs_has_failed_since_it_was_asked() -> None:
    breaker = Breaker(failures=3, seconds=30)
    hung = failed("timeout")
    assert [breaker.note(hung, 240.0, begun=0.0), breaker.note(hung, 240.1, begun=0.1)] == [None, None]
    seen = breaker.note(hung, 240.2, begun=0.2)
    assert seen is not None
    assert "within 240 s" in seen


def test_what_was_answered_meanwhile_shows_that_the_server_was_there() -> None:
    breaker = Breaker(failures=2, seconds=30)
    assert breaker.note(FINE, 230.0, begun=229.0) is None
    assert [breaker.note(failed("timeout"), 240.0, begun=0.0) for _ in range(50)] == [None] * 50
    assert breaker.note(failed("timeout"), 260.0, begun=20.0)
