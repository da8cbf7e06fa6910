"""A TCP line to a PostgreSQL server that can be cut, held and mended."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress

_THIRD = b"\x00\x03"
"""The protocol's version in the message that opens a session; from there on messages begin with a letter."""


class Line:
    """Forwards a port of 127.0.0.1 to another, by threads. Use it as a context manager.

    ``hold`` stops forwarding and leaves connections open, like a cable pulled; ``mend`` goes on. ``cut_after(n)`` ends
    the open connections after n more messages from the client; new ones are taken again. ``close`` ends everything.

    Attributes:
        sent: messages from the client so far, as PostgreSQL's protocol parts them. ``cuts``: how many ended it.
    """

    def __init__(self, to: int) -> None:
        self._to = to
        self._listening = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listening.getsockname()[1]
        self._flows = threading.Event()
        self._flows.set()
        self._left: int | None = None
        self._open: list[socket.socket] = []
        self._turn = threading.Lock()
        self.cuts = self.sent = 0

    def __enter__(self) -> Line:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def hold(self) -> None:
        self._flows.clear()

    def mend(self) -> None:
        self._flows.set()

    def cut_after(self, messages: int) -> None:
        with self._turn:
            self._left = messages

    def close(self) -> None:
        self._flows.set()
        with suppress(OSError):
            self._listening.shutdown(socket.SHUT_RDWR)
        self._listening.close()
        self._cut()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._listening.accept()
                try:
                    far = socket.create_connection(("127.0.0.1", self._to))
                except OSError:  # nobody there at the moment
                    near.close()
                    continue
                for side in (near, far):
                    side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self._open += [near, far]
                threading.Thread(target=self._carry, args=(near, far, True), daemon=True).start()
                threading.Thread(target=self._carry, args=(far, near, False), daemon=True).start()

    def _carry(self, one: socket.socket, other: socket.socket, counted: bool) -> None:
        with suppress(OSError):
            rest, typed = b"", False
            while data := one.recv(65536):
                self._flows.wait()
                rest += data
                while counted and (size := _size(rest, typed)) and len(rest) >= size:
                    message, rest = rest[:size], rest[size:]
                    other.sendall(message)
                    typed = typed or message[4:6] == _THIRD
                    if self._ends_here():  # the server has got it; the answer is lost
                        self._cut()
                        return
                if not counted:
                    other.sendall(rest)
                    rest = b""
        for side in (one, other):
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)

    def _ends_here(self) -> bool:
        with self._turn:
            self.sent += 1
            if self._left is None:
                return False
            self._left -= 1
            if self._left >= 0:
                return False
            self._left = None
            self.cuts += 1
            return True

    def _cut(self) -> None:
        ended, self._open = self._open, []
        for side in ended:
            with suppress(OSError):
                side.shutdown(socket.SHUT_RDWR)
            side.close()


def _size(data: bytes, typed: bool) -> int:
    """Return the size of the message that data begins with, 0 where it does not say yet."""
    said = data[1:5] if typed else data[:4]
    return int.from_bytes(said, "big") + typed if len(said) == 4 else 0
