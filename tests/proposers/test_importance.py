from __future__ import annotations

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
