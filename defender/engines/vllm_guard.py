"""Runs beside a server that defender started, and ends it when nobody uses it any more. A script of its own.

Everybody who uses the server holds a shared lock on the lease file; the kernel lets go of it when a user ends, however
it ends (kill -9 too). Once nobody holds it the server gets SIGTERM, and after a while SIGKILL, all its processes.
Where the guard itself is killed, Linux sends the server SIGTERM.

It imports nothing of defender: it must start in milliseconds and outlive whatever started it.
"""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

LOOK_S = 0.1


def main(lease: str, record: str, grace_s: float, command: list[str]) -> int:
    """Run the command until it ends or nobody holds the lease; return its exit code, 128 + n after signal n."""
    for number in (signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    asked: list[int] = []
    signal.signal(signal.SIGTERM, lambda number, _frame: asked.append(number))
    # A session of its own: Ctrl-C in the terminal does not reach it, and its whole group can be ended at once.
    server = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True, preexec_fn=_end_with_parent)
    me = os.getpid()
    note(Path(record), guard=me, guard_born=born(me), server=server.pid, server_born=born(server.pid))
    held = os.open(lease, os.O_RDWR | os.O_CREAT, 0o600)
    while server.poll() is None:
        if asked or alone(held):
            note(Path(record), stopping=True)
            end(server, grace_s)
            break
        time.sleep(LOOK_S)
    sweep(server.pid)
    Path(record).unlink(missing_ok=True)
    code = server.wait()
    return code if code >= 0 else 128 - code


def alone(lease: int) -> bool:
    """Tell whether nobody holds the lease; if so nobody can take it from now on."""
    try:
        fcntl.flock(lease, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def end(server: subprocess.Popen[bytes], grace_s: float) -> None:
    """Ask the server to end, and give it a while; ``sweep`` ends what is left."""
    send(server.pid, signal.SIGTERM)
    with contextlib.suppress(subprocess.TimeoutExpired):
        server.wait(grace_s)


def sweep(group: int) -> None:
    """End what is left of a group, whether or not its leader is gone."""
    if send(group, signal.SIGTERM):
        time.sleep(LOOK_S)
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Send a signal to a process group; False where it is gone."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def note(record: Path, **more: object) -> None:
    """Add to the record, whole or not at all."""
    try:
        known = json.loads(record.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        known = {}
    draft = record.with_name(f"{record.name}.{os.getpid()}")
    draft.write_text(json.dumps({**known, **more}), encoding="utf-8")
    draft.replace(record)


def born(pid: int) -> str:
    """Return when a process started, as the kernel counts: tells reused ids apart.

    "ended" where it has (a process nobody has waited for too), "" where this system does not say.
    """
    if not Path("/proc/self/stat").exists():
        return ""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return "ended"
    return "ended" if fields[0] in "ZX" else fields[19]


def _end_with_parent() -> None:
    """In the server, before it begins: ask Linux for SIGTERM when the guard ends (prctl PR_SET_PDEATHSIG)."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], float(sys.argv[3]), sys.argv[4:]))
