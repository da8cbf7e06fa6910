from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.trial import create_trial

from defender.proposers.importance import LEAST, importances


def study(folder: Path, trials: int) -> str:
    """Return a study's URL: "clause_strong" decides, "clause_idle" does nothing."""
    url, draw = f"sqlite:///{folder / 'study.db'}", np.random.default_rng(0)
    flags = CategoricalDistribution((False, True))
    made = optuna.create_study(storage=url, study_name="one")
    for _ in range(trials):
        said = {name: bool(draw.random() < 0.5) for name in ("clause_strong", "clause_idle")}
        value = 4.0 - 3.0 * said["clause_strong"] + 0.1 * float(draw.normal())
        made.add_trial(create_trial(params=said, distributions=dict.fromkeys(said, flags), value=value))
    return url


def test_the_choice_that_decides_is_the_important_one(tmp_path: Path) -> None:
    found, reason = importances(study(tmp_path, 40), "one")
    shares = found["PED-ANOVA"]
    assert sum(shares.values()) == pytest.approx(1.0)
    assert shares["clause_strong"] > shares["clause_idle"]
    assert "fANOVA" in found or "scikit-learn" in reason


def test_too_few_trials_and_a_study_that_is_not_there_cost_the_table_only(tmp_path: Path) -> None:
    found, reason = importances(study(tmp_path, LEAST - 1), "one")
    assert found == {}
    assert "too few" in reason
    assert importances(f"sqlite:///{tmp_path / 'other.db'}", "one")[0] == {}


@pytest.mark.parametrize(
    ("damage", "seen"),
    [
        ("UPDATE alembic_version SET version_num = 'x'", "RuntimeError: The runtime optuna version"),
        ("UPDATE trial_params SET distribution_json = '{'", "JSONDecodeError"),
        ("UPDATE trials SET state = 'ODD'", "LookupError"),
        ("UPDATE studies SET study_name = 'two'", "KeyError"),
        ("DROP TABLE trial_values", f"{LEAST} of {LEAST} measured trials have no value"),
    ],
)
def test_a_study_that_optuna_cannot_read_costs_the_table_only(tmp_path: Path, damage: str, seen: str) -> None:
    url = study(tmp_path, LEAST)
    with closing(sqlite3.connect(tmp_path / "study.db")) as database:
        database.execute(damage)
        database.commit()
    found, reason = importances(url, "one")
    assert found == {}
    assert re.search(f"the study cannot be read: .*({seen})", reason)


def test_a_file_that_is_no_study_costs_the_table_only(tmp_path: Path) -> None:
    (tmp_path / "study.db").write_bytes(b"no database at all, however long" * 99)
    found, reason = importances(f"sqlite:///{tmp_path / 'study.db'}", "one")
    assert (found, "DatabaseError" in reason) == ({}, True)
    assert "OperationalError" in importances("postgresql+psycopg://u@127.0.0.1:9/d", "one")[1]


def test_a_mistake_of_ours_is_not_taken_for_a_damaged_study(tmp_path: Path) -> None:
    with pytest.raises((TypeError, AttributeError)):
        importances(tmp_path, "one")  # type: ignore[arg-type]
