from __future__ import annotations

import os
from pathlib import Path

import pytest

from defender.benchmarks.source import Source


def data_folder() -> Path | None:
    """The real datasets: where DEFENDER_DATA says, else beside the checkout."""
    named = os.environ.get("DEFENDER_DATA")
    for folder in [Path(named)] if named else [Path(__file__).parents[3] / "shared" / "datasets"]:
        if folder.is_dir():
            return folder
    return None


def real_source() -> Source:
    folder = data_folder()
    if folder is None:
        pytest.skip("no datasets here: set DEFENDER_DATA to a folder in the hub's layout")
    return Source(folder)


@pytest.fixture(scope="session")
def source() -> Source:
    return real_source()
