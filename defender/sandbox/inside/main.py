"""The first and last steps inside: one process starts, raises the walls, becomes two, and the tests' half reports."""

from __future__ import annotations

import json
import os
from typing import Any, NoReturn

from defender.sandbox.inside.channel import Channel, Malformed
from defender.sandbox.inside.checker import Checker
from defender.sandbox.inside.kernel import WallMissing
from defender.sandbox.inside.runner import serve
from defender.sandbox.inside.walls import Walls

JOBS, VERDICTS = 0, 1
"""Standard input brings the job, standard output takes the verdict; only the tests' process has either."""

PASSED, FAILED, NOT_STARTED = 0, 1, 3
MOST_DESCRIPTORS = 1 << 16


def main(config_text: bytes) -> NoReturn:
    """Become a sandbox, judge one job, exit 0 when it passed.

    Lines written to standard output, one JSON object each: ``{"missing": why}`` when the sandbox could not be built;
    else ``{"nonce", "walls"}`` before the program starts and ``{"nonce", "passed", "reason"}`` at the end.
    """
    config = json.loads(config_text)
    walls = Walls(config)
    try:
        walls.prepare()
    except WallMissing as missing:
        _refuse(str(missing))
    limit = config["limits"]["reply_mb"] << 20
    tests_read, program_writes = os.pipe()
    program_read, tests_write = os.pipe()
    # The job is still unread: the program's process inherits no memory that holds a test or the nonce.
    runner = os.fork()
    if runner == 0:
        _become_program(walls, Channel(program_read, program_writes, limit), (program_read, program_writes))
    os.close(program_read)
    os.close(program_writes)
    _become_tests(walls, Channel(tests_read, tests_write, limit), runner, config["limits"])


def _become_program(walls: Walls, channel: Channel, own: tuple[int, int]) -> NoReturn:
    try:
        walls.enclose()
    except WallMissing as missing:
        channel.send({"missing": str(missing)})
        os._exit(NOT_STARTED)
    null = os.open("/dev/null", os.O_RDWR)
    for standard in (0, 1, 2):
        os.dup2(null, standard)
    last = 2
    for kept in sorted([*own, *walls.pinned]):
        os.closerange(last + 1, kept)
        last = kept
    os.closerange(last + 1, MOST_DESCRIPTORS)
    channel.send({"up": True})
    serve(channel)
    os._exit(0)


def _become_tests(walls: Walls, channel: Channel, runner: int, limits: dict[str, int]) -> NoReturn:
    try:
        walls.enclose(may_kill=runner)
        greeting = channel.receive()
    except (WallMissing, EOFError, Malformed) as problem:
        _refuse(str(problem))
    if "missing" in greeting:
        _refuse(greeting["missing"])
    job = json.loads(_all_of(JOBS))
    _say({"nonce": job["nonce"], "walls": walls.standing})
    checker = Checker(channel, runner, limits)
    judgement = checker.judge(job)
    checker.end_program()
    _say({"nonce": job["nonce"], "passed": judgement.passed, "reason": judgement.reason})
    os._exit(PASSED if judgement.passed is True else FAILED)


def _refuse(why: str) -> NoReturn:
    _say({"missing": why})
    os._exit(NOT_STARTED)


def _say(message: dict[str, Any]) -> None:
    line = json.dumps(message).encode("ascii") + b"\n"
    while line:
        line = line[os.write(VERDICTS, line) :]


def _all_of(descriptor: int) -> bytes:
    pieces = []
    while piece := os.read(descriptor, 1 << 16):
        pieces.append(piece)
    return b"".join(pieces)
