"""A run's study in optuna-dashboard, with a note of ours on every trial. Needs the extra ``dashboard``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from socketserver import ThreadingMixIn
from types import SimpleNamespace
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

import optuna
from optuna.storages import RDBStorage

from defender.errors import ConfigError, install

Note = Callable[[Mapping[str, Any]], str]
INSTALL = install("dashboard")


class Board:
    """The dashboard of one study, ready to be served.

    Args:
        storage: URL of the study's database.
        study_name: its name there.
        host, port: where to listen; port 0 takes a free one.

    Raises:
        ConfigError: the extra is not installed, there is no such study, or the port is taken.
    """

    def __init__(self, storage: str, study_name: str, host: str, port: int) -> None:
        try:
            from optuna_dashboard import wsgi
        except ImportError as missing:
            raise ConfigError(f"the dashboard needs optuna-dashboard ({missing}): {INSTALL}") from missing
        self._database = RDBStorage(storage)
        known = optuna.get_all_study_names(self._database)
        if storage.startswith("sqlite") and len(known) == 1:
            study_name = known[0]  # the run's own file; its folder may have been renamed since
        if study_name not in known:
            raise ConfigError(
                f"expected the study '{study_name}' in the run's database, got {', '.join(known) or 'none'}; a search "
                "writes it when its first candidates are measured, other commands do not"
            )
        self._study = optuna.load_study(storage=self._database, study_name=study_name)
        try:
            self._server = make_server(host, port, wsgi(self._database), _Threaded, _Silent)
        except OSError as error:
            raise ConfigError(
                f"cannot listen on {host}:{port}: {error.strerror or error}; name another with --port, 0 for a free one"
            ) from error
        self.url = f"http://{host}:{self._server.server_port}/dashboard/studies/{self._study._study_id}"

    def annotate(self, note: Note, about: str) -> int:
        """Write a note (Markdown) on every trial, from its user attributes, and ``about`` on the study.

        Returns how many were new or had changed; what is there already is not written again.
        """
        written = 0
        for trial in self._study.get_trials(deepcopy=False):
            place = SimpleNamespace(storage=self._database, study=self._study, _trial_id=trial._trial_id)
            written += _noted(place, note(trial.user_attrs))
        _noted(self._study, about)
        return written

    def serve(self) -> None:
        """Serve until Ctrl-C."""
        try:
            self._server.serve_forever()
        except KeyboardInterrupt:
            return
        finally:
            self.close()

    def close(self) -> None:
        """Stop listening. Idempotent."""
        self._server.server_close()


def _noted(place: Any, body: str) -> bool:
    """Write one note; False where it is there already."""
    from optuna_dashboard import get_note, save_note

    if get_note(place) == body:
        return False
    save_note(place, body)
    return True


class _Threaded(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Silent(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing about each request."""
