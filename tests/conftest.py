"""What several test files read and none may change."""

from __future__ import annotations

import pytest

from defender.confirm import SearchResult
from defender.runs import RunFolder
from tests.stored_run import searched, settings


@pytest.fixture(scope="session")
def stored(tmp_path_factory: pytest.TempPathFactory) -> tuple[RunFolder, SearchResult]:
    """Return a finished search and what it returned; copy the folder before writing to it."""
    folder = tmp_path_factory.mktemp("stored")
    return searched(settings(folder), folder)
