"""What Optuna makes of a finished search: how much of the differences in PB each choice accounts for.

These describe the trials a sampler happened to make (it prefers what worked), not the winner: a hint beside an
ablation, never a claim. PED-ANOVA (Watanabe et al. 2023) asks what tells the best tenth of trials from all;
fANOVA (Hutter et al. 2014) fits a forest and needs scikit-learn.
"""

from __future__ import annotations

import optuna
from optuna.exceptions import OptunaError
from optuna.importance import BaseImportanceEvaluator, FanovaImportanceEvaluator, PedAnovaImportanceEvaluator
from optuna.trial import TrialState
from sqlalchemy.exc import SQLAlchemyError

LEAST = 8
"""Measured trials below which nothing is said."""


UNREADABLE = (OptunaError, SQLAlchemyError, LookupError, ValueError, RuntimeError)
"""What Optuna raises where a study is not there, was damaged, or was written by another version: its storage lets
SQLAlchemy's own errors through. A study is a copy for people, so this costs its table only."""


def importances(storage: str, name: str, seed: int = 0) -> tuple[dict[str, dict[str, float]], str]:
    """Return method -> parameter -> share (each method's sum to 1), and why a method is missing ("" for none).

    Args:
        storage: URL of the study's database.
        name: the study's name there.
        seed: of the forest.
    """
    try:
        study = optuna.load_study(study_name=name, storage=storage)
        trials = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    except UNREADABLE as error:
        return {}, f"the study cannot be read: {type(error).__name__}: {error}"
    if lost := sum(trial.values is None for trial in trials):
        return {}, f"the study cannot be read: {lost} of {len(trials)} measured trials have no value"
    if len(trials) < LEAST:
        return {}, f"{len(trials)} measured trials are too few (at least {LEAST})"
    found: dict[str, dict[str, float]] = {}
    missing = []
    methods: dict[str, type[BaseImportanceEvaluator]] = {
        "PED-ANOVA": PedAnovaImportanceEvaluator,
        "fANOVA": FanovaImportanceEvaluator,
    }
    for method, kind in methods.items():
        try:
            evaluator = kind(seed=seed) if kind is FanovaImportanceEvaluator else kind()
            found[method] = optuna.importance.get_param_importances(study, evaluator=evaluator)
        except ImportError:
            missing.append(f"{method} needs scikit-learn (pip install scikit-learn)")
        except (ValueError, RuntimeError) as error:
            missing.append(f"{method}: {error}")
    return found, "; ".join(missing)
