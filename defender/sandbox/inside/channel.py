"""Messages between the two processes in the sandbox: JSON behind an eight-digit length, over a pair of pipes."""

from __future__ import annotations

import json
import os
from typing import Any

_DIGITS = 8


class Malformed(Exception):
    """The other side sent something that is no message of this protocol."""


class Channel:
    """One end of the conversation. ``limit`` bounds the bytes of one message in either direction."""

    def __init__(self, reads: int, writes: int, limit: int) -> None:
        self._reads = reads
        self._writes = writes
        self._limit = limit

    def send(self, message: dict[str, Any]) -> None:
        """Send one message.

        Raises:
            ValueError: it is larger than the limit; nothing was sent.
            BrokenPipeError: the other side is gone.
        """
        data = json.dumps(message).encode("ascii")
        if len(data) > self._limit:
            raise ValueError(f"a message of {len(data)} bytes is over the limit of {self._limit}")
        data = b"%08x" % len(data) + data
        while data:
            data = data[os.write(self._writes, data) :]

    def receive(self) -> dict[str, Any]:
        """Wait for one message.

        Raises:
            EOFError: the other side is gone.
            Malformed: not a message, or over the limit.
        """
        try:
            size = int(self._exactly(_DIGITS), 16)
        except ValueError:
            raise Malformed("no length") from None
        if not 0 <= size <= self._limit:
            raise Malformed("too large")
        try:
            message = json.loads(self._exactly(size))
        except (ValueError, RecursionError):
            raise Malformed("not JSON") from None
        if not isinstance(message, dict):
            raise Malformed("not an object")
        return message

    def _exactly(self, size: int) -> bytes:
        pieces = []
        while size > 0:
            piece = os.read(self._reads, min(size, 1 << 20))
            if not piece:
                raise EOFError("the other side closed the channel")
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)
