from __future__ import annotations

import asyncio

import pytest

from defender.judges.memory import Memory, Shelf
from defender.records import ErrorKind, Response

SAFE = Response("safe", "stop")


class Slow:
    """Replies when ``go`` is set; counts how often it was asked and how often it got there."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun = 0
        self.reached = 0

    async def __call__(self) -> Response:
        self.begun += 1
        await self.go.wait()
        self.reached += 1
        return SAFE


async def test_one_who_gives_up_does_not_take_the_verdict_from_the_others() -> None:
    memory, slow = Memory(), Slow()
    first, second = (asyncio.create_task(memory.recall("k", slow)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    await asyncio.sleep(0)
    slow.go.set()
    assert await second == SAFE
    assert first.cancelled()
    assert (slow.begun, slow.reached) == (1, 1)


async def test_a_verdict_nobody_waits_for_is_not_reached() -> None:
    memory, slow = Memory(), Slow()
    only = asyncio.create_task(memory.recall("k", slow))
    await asyncio.sleep(0.01)
    only.cancel()
    with pytest.raises(asyncio.CancelledError):
        await only
    slow.go.set()
    await asyncio.sleep(0.01)
    assert (slow.begun, slow.reached) == (1, 0)


async def test_one_who_comes_after_everyone_gave_up_gets_a_verdict_of_its_own() -> None:
    memory, slow = Memory(), Slow()
    first = asyncio.create_task(memory.recall("k", slow))
    await asyncio.sleep(0.01)
    first.cancel()
    await asyncio.sleep(0)
    second = asyncio.create_task(memory.recall("k", slow))
    await asyncio.sleep(0.01)
    slow.go.set()
    assert await second == SAFE
    assert (slow.begun, slow.reached) == (2, 1)


async def test_an_error_is_not_remembered() -> None:
    memory = Memory()

    async def fails() -> Response:
        raise OSError("gone")

    async def works() -> Response:
        return SAFE

    with pytest.raises(OSError, match="gone"):
        await memory.recall("k", fails)
    assert await memory.recall("k", works) == SAFE


class Asked:
    """Replies with what it is given, in turn."""

    def __init__(self, *replies: Response) -> None:
        self.replies = list(replies)

    async def __call__(self) -> Response:
        return self.replies.pop(0)


async def test_a_reply_is_kept_before_anybody_sees_it() -> None:
    class Watched(Shelf):
        written = False

        async def append(self, key: str, response: Response) -> None:
            await asyncio.sleep(0.01)
            self.written = True
            await super().append(key, response)

    shelf = Watched()
    assert await Memory(shelf).recall("k", Asked(SAFE)) == SAFE
    assert shelf.written
    assert await Memory(shelf).recall("k", Asked()) == SAFE


@pytest.mark.parametrize(("error", "asked"), [("bad_request", 1), ("content_filter", 1), ("timeout", 2)])
async def test_only_failures_that_would_come_again_are_remembered(error: ErrorKind, asked: int) -> None:
    failed = Response(None, error=error)
    memory, engine = Memory(), Asked(failed, failed)
    for _ in range(2):
        assert await memory.recall("k", engine) == failed
    assert len(engine.replies) == 2 - asked
