from __future__ import annotations

import os
import shutil
import socket
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from defender.errors import ConfigError
from defender.sandbox.launcher import Launcher, bubblewrap, landlock
from defender.sandbox.limits import Limits
from defender.sandbox.sandbox import Sandbox

TIGHT = Limits(cpu_s=2, wall_s=30, memory_mb=300, threads=16)
"""So that programs that never end, end soon, and others have the time they need on a machine that is slow or stops."""


def launcher_or_skip(kind: str) -> Launcher:
    try:
        return {"landlock": landlock, "bubblewrap": bubblewrap}[kind]()
    except ConfigError as missing:
        pytest.skip(str(missing).splitlines()[0])


@pytest.fixture(scope="session", params=["landlock", "bubblewrap"])
def sandbox(request: pytest.FixtureRequest) -> Iterator[Sandbox]:
    """Each contained sandbox this machine has."""
    made = Sandbox(launcher_or_skip(request.param), TIGHT)
    yield made
    made.close()


@pytest.fixture(scope="session")
def bare() -> Iterator[Sandbox]:
    """The same two processes without Landlock, seccomp and namespaces: the control of the attacks."""
    real = launcher_or_skip("landlock")
    walls = {"landlock": "off", "seccomp": "off", "namespaces": "off", "orphan": True}
    made = Sandbox(Launcher("bare", real.command, walls, real.environment), TIGHT)
    yield made
    made.close()


class Ground:
    """What lies outside: listeners, a secret, a folder anyone may write."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.folder = folder
        self.tcp = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        self.udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        self.udp.bind(("127.0.0.1", 0))
        self.abstract = f"defender-{os.getpid()}-{folder.name}"
        self.unix = [stack.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(2)]
        for listener, address in zip(self.unix, (str(folder / "socket"), f"\0{self.abstract}"), strict=True):
            listener.bind(address)
            listener.listen()
        self.datagrams = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
        self.datagrams.bind(str(folder / "socket.dgram"))
        for listener in (self.udp, self.tcp, self.datagrams, *self.unix):
            listener.setblocking(False)
        (folder / "secret").write_text("secret")
        (folder / "precious").write_text("precious")
        (folder / "link_to_secret").symlink_to(folder / "secret")
        for name in ("socket", "socket.dgram", "precious"):
            (folder / name).chmod(0o777)
        self.before = self.now()

    def now(self) -> dict[str, tuple[int, int]]:
        """Every file with its mode and size, links not followed."""
        found = {path.name: path.lstat() for path in self.folder.iterdir()}
        return {name: (status.st_mode, status.st_size) for name, status in found.items()}

    def heard(self) -> list[str]:
        """Which listeners were reached."""
        reached = []
        for listener in (self.tcp, *self.unix):
            try:
                listener.accept()[0].close()
            except BlockingIOError:
                continue
            reached.append(str(listener.getsockname()))
        for datagrams in (self.udp, self.datagrams):
            try:
                datagrams.recv(64)
            except BlockingIOError:
                continue
            reached.append(str(datagrams.getsockname()))
        return reached

    @property
    def names(self) -> dict[str, object]:
        """What the attacks' texts are filled with."""
        return {
            "tcp": self.tcp.getsockname()[1],
            "udp": self.udp.getsockname()[1],
            "socket": self.folder / "socket",
            "abstract": self.abstract,
            "secret": self.folder / "secret",
            "open": self.folder,
            "parent": os.getpid(),
        }


@pytest.fixture
def ground(monkeypatch: pytest.MonkeyPatch) -> Iterator[Ground]:
    # Not pytest's folder: other users cannot enter that one, and the walls should not get credit for it.
    folder = Path(tempfile.mkdtemp(dir="/tmp"))
    folder.chmod(0o777)
    monkeypatch.setenv("DEFENDER_TEST_TOKEN", "secret")
    with ExitStack() as stack:
        yield Ground(folder, stack)
    shutil.rmtree(folder)
