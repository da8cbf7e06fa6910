"""What several test files read and none may change."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck
from hypothesis import settings as drawing

from defender.confirm import SearchResult
from defender.runs import RunFolder
from tests.postgres import NoPostgresError, Postgres
from tests.stored_run import searched, settings

# The same examples everywhere, however long they take: what a machine draws or how busy it is decides nothing.
drawing.register_profile(
    "steady", derandomize=True, database=None, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
drawing.load_profile("steady")

# Programs under test are not told how whoever runs the tests likes a terminal to be.
COLOURS = ("FORCE_COLOR", "NO_COLOR", "PY_COLORS", "GITHUB_ACTIONS", "TTY_COMPATIBLE", "TTY_INTERACTIVE")
for name in (*COLOURS, "TERM", "COLUMNS", "LINES"):
    os.environ.pop(name, None)


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, SearchResult]:
    """Return a finished search and what it returned; copy the folder before writing to it."""
    folder = tmp_path_factory.mktemp("stored")
    return searched(settings(folder), folder)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """Return a PostgreSQL server of the tests' own; every test names schemas of its own in it."""
    try:
        server = Postgres()
    except NoPostgresError as why:
        pytest.skip(str(why))
    try:
        yield server
    finally:
        server.remove()
