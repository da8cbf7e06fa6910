"""Which servers defender runs on this machine, and who uses them: a record, a lease and a gate per kind of launch.

All lie in one folder a user, on a local disk: locks on shared disks cannot be relied on, and process ids mean nothing
on another machine.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from defender.engines.vllm_guard import born, send
from defender.errors import StoreError

_LAST_S = 10.0


@dataclass(frozen=True)
class Record:
    """A server that was started here.

    Attributes:
        url: up to and including ``/v1``. ``model``: what it is called there.
        log: where its log goes, from byte ``begins`` on.
        guard, server: process ids, 0 before they are known; with ``born``, which tells reused ids apart.
        stopping: its last user is gone.
    """

    url: str
    model: str
    log: str
    begins: int = 0
    guard: int = 0
    guard_born: str = ""
    server: int = 0
    server_born: str = ""
    stopping: bool = False

    @property
    def guarded(self) -> bool:
        """Whether its guard lives."""
        return lives(self.guard, self.guard_born)


class Berth:
    """The place of all servers of one kind of launch: at most one of them at a time.

    Args:
        digest: of the launch.
        home: folder of all records; None for this user's on this machine.

    Raises:
        StoreError: the folder cannot be made, or belongs to somebody else.
    """

    def __init__(self, digest: str, home: Path | None = None) -> None:
        home = home or default_home()
        try:
            home.mkdir(mode=0o700, parents=True, exist_ok=True)
            foreign = home.stat().st_uid != os.getuid()
        except OSError as error:
            raise StoreError(f"cannot make {home}, where servers are kept track of: {error}; set TMPDIR") from error
        if foreign:
            raise StoreError(f"{home}, where servers are kept track of, belongs to another user; set TMPDIR")
        self.record = home / f"{digest}.json"
        self.lease = home / f"{digest}.lease"
        self._gate = home / f"{digest}.gate"

    @contextmanager
    def gate(self) -> Iterator[bool]:
        """While inside nobody else looks for, or starts, such a server; yields False where somebody else is inside."""
        with self._gate.open("w") as opened:
            yield _taken(opened.fileno(), fcntl.LOCK_EX)

    def read(self) -> Record | None:
        """Return the record, None where there is none to read."""
        return read_record(self.record)

    def write(self, record: Record) -> None:
        """Keep a record, whole or not at all."""
        draft = self.record.with_name(f"{self.record.name}.{os.getpid()}")
        draft.write_text(json.dumps(asdict(record)), encoding="utf-8")
        draft.replace(self.record)

    def hold(self) -> int | None:
        """Become a user of the server: return what to ``let_go`` of, None where it is ending."""
        held = os.open(self.lease, os.O_RDWR | os.O_CREAT, 0o600)
        if _taken(held, fcntl.LOCK_SH):
            return held
        os.close(held)
        return None

    def used(self) -> bool:
        """Tell whether anybody uses the server; a guard that is ending it holds the lease alone and is no user."""
        held = os.open(self.lease, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            return not _taken(held, fcntl.LOCK_EX) and _taken(held, fcntl.LOCK_SH)
        finally:
            os.close(held)

    def clear(self, record: Record) -> None:
        """End a server whose guard is gone, if it lives, and forget it. Blocks for some seconds at most."""
        number, limit = signal.SIGTERM, time.monotonic() + _LAST_S
        while lives(record.server, record.server_born) and send(record.server, number):
            if time.monotonic() > limit:
                number = signal.SIGKILL
            time.sleep(0.1)
        self.record.unlink(missing_ok=True)


def let_go(held: int) -> None:
    """Be no user of the server any more."""
    with contextlib.suppress(OSError):
        os.close(held)


def default_home() -> Path:
    """Return this user's folder on this machine."""
    return Path(tempfile.gettempdir()) / f"defender-{os.getuid()}" / "servers"


def read_record(path: Path) -> Record | None:
    """Return a record, None where there is none to read."""
    try:
        said = json.loads(path.read_text(encoding="utf-8"))
        return Record(**said)
    except (OSError, ValueError, TypeError):
        return None


def running(home: Path | None = None) -> list[Record]:
    """Return the servers that run here now."""
    found = (read_record(path) for path in sorted((home or default_home()).glob("*.json")))
    return [record for record in found if record is not None and record.guarded]


def lives(pid: int, since: str) -> bool:
    """Tell whether the process that started then still runs."""
    if pid <= 0:
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return born(pid) == since


def _taken(opened: int, how: int) -> bool:
    try:
        fcntl.flock(opened, how | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
