from __future__ import annotations

import asyncio

import pytest

from defender.engines.gate import Gate
from defender.engines.pace import START, Pace


async def settled() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_no_more_than_the_limit_are_inside() -> None:
    gate = Gate(Pace(2))
    entering = [asyncio.create_task(gate.enter()) for _ in range(5)]
    await settled()
    assert (gate.inside, gate.full, sum(task.done() for task in entering)) == (2, True, 2)
    gate.leave()
    await settled()
    assert sum(task.done() for task in entering) == 3
    for task in entering[3:]:
        task.cancel()


async def test_they_enter_in_the_order_they_came() -> None:
    gate, came = Gate(Pace(1)), list[int]()

    async def pass_through(number: int) -> None:
        await gate.enter()
        came.append(number)
        await asyncio.sleep(0)
        gate.leave()

    await asyncio.gather(*map(pass_through, range(20)))
    assert came == list(range(20))
    assert gate.inside == 0


async def test_a_pace_that_grew_lets_more_in_when_somebody_leaves() -> None:
    pace = Pace(4 * START)
    gate = Gate(pace)
    entering = [asyncio.create_task(gate.enter()) for _ in range(3 * START)]
    await settled()
    pace.limit = 2 * START
    gate.leave()
    await settled()
    assert gate.inside == 2 * START
    assert sum(task.done() for task in entering) == 2 * START + 1
    for task in entering:
        task.cancel()


@pytest.mark.parametrize("let_in", [False, True])
async def test_who_gives_up_waiting_takes_no_place(let_in: bool) -> None:
    gate = Gate(Pace(1))
    await gate.enter()
    waiting = asyncio.create_task(gate.enter())
    await settled()
    if let_in:
        gate.leave()  # its turn has come, but it has not woken yet
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    if not let_in:
        gate.leave()
    assert gate.inside == 0
    await asyncio.wait_for(gate.enter(), 60)


async def test_a_place_that_comes_free_goes_past_whoever_has_just_given_up() -> None:
    gate = Gate(Pace(1))
    await gate.enter()
    gone, next_one = (asyncio.create_task(gate.enter()) for _ in range(2))
    await settled()
    gone.cancel()
    gate.leave()  # before the one that gave up has woken
    await asyncio.wait_for(next_one, 60)
    assert gone.cancelled()
    assert gate.inside == 1
