"""One child process with everything it starts: talk to it once, end it whole."""

from __future__ import annotations

import contextlib
import os
import select
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

MOST_BYTES = 1 << 20
"""Of each output stream; the verdict has a few hundred. What is over it ends the child."""
GRACE_S = 5.0


@dataclass(frozen=True, slots=True)
class Ended:
    """How a child ended. ``code`` as subprocess gives it; ``in_time`` is False when it had to be ended."""

    output: bytes
    errors: bytes
    code: int
    in_time: bool


class Child:
    """A started process, the leader of its own session and process group.

    Raises:
        OSError: it could not be started.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            arguments,
            env=dict(environment),
            cwd="/",
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            start_new_session=True,
        )
        self._lock = threading.Lock()
        self._reaped = False

    @property
    def number(self) -> int:
        """Its process id, and that of its group."""
        return self._process.pid

    def converse(self, data: bytes, seconds: float) -> Ended:
        """Send ``data``, read until the child is done or the time is up, then end the whole group."""
        seen: dict[str, bytes] = {"output": b"", "errors": b""}
        in_time = False
        try:
            in_time = self._exchange(data, seen, time.monotonic() + seconds)
            if in_time:
                self._await_exit()
        finally:
            self.kill()
            with self._lock:
                code = self._process.wait()
                self._reaped = True
            self._close()
        return Ended(seen["output"], seen["errors"], code, in_time)

    def kill(self) -> None:
        """End the group now; from any thread, at any time, more than once."""
        with self._lock:
            # Until it is reaped its number is nobody else's.
            if not self._reaped:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)
                self._process.kill()

    def _exchange(self, data: bytes, seen: dict[str, bytes], deadline: float) -> bool:
        """Return whether both output streams ended before the deadline and within their size."""
        process = self._process
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        rest, speaking = memoryview(data), {"output", "errors"}
        with selectors.DefaultSelector() as selector:
            for stream, name in ((process.stdout, "output"), (process.stderr, "errors")):
                selector.register(stream, selectors.EVENT_READ, name)
            os.set_blocking(process.stdin.fileno(), False)
            selector.register(process.stdin, selectors.EVENT_WRITE, "input")
            while speaking:
                left = deadline - time.monotonic()
                if left <= 0:
                    return False
                for key, _ in selector.select(left):
                    if key.data == "input":
                        rest = self._write(rest)
                        if not rest:
                            selector.unregister(process.stdin)
                            process.stdin.close()
                    elif piece := os.read(key.fd, 1 << 16):
                        seen[key.data] += piece
                        if len(seen[key.data]) > MOST_BYTES:
                            return False
                    else:
                        selector.unregister(key.fileobj)
                        speaking.discard(key.data)
        return True

    def _write(self, rest: memoryview) -> memoryview:
        """Write what fits; a child that no longer reads has had enough."""
        assert self._process.stdin is not None
        try:
            return rest[os.write(self._process.stdin.fileno(), rest) :]
        except BlockingIOError:
            return rest
        except BrokenPipeError:
            return rest[:0]

    def _await_exit(self) -> None:
        """Wait, not for long, until the leader has exited by itself; it stays unreaped."""
        if not hasattr(os, "pidfd_open"):
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._process.wait(GRACE_S)
            return
        watched = os.pidfd_open(self._process.pid)
        try:
            select.select([watched], [], [], GRACE_S)
        finally:
            os.close(watched)

    def _close(self) -> None:
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            if stream is not None:
                with contextlib.suppress(OSError):
                    stream.close()
