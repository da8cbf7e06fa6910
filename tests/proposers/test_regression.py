from __future__ import annotations

import numpy as np
import pytest

from defender.proposers.regression import Posterior, posterior
from defender.records import FloatArray


def world(seed: int, count: int, misfit: float, noise: float = 0.05) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return a design of six on-off choices beside the constant, noisy values, and the effects they come from."""
    rng = np.random.default_rng(seed)
    design = np.column_stack([np.ones(count), rng.integers(0, 2, (count, 6))])
    effects = np.concatenate(([1.0], rng.normal(0.0, 0.3, 6)))
    return design, design @ effects + rng.normal(0.0, np.hypot(misfit, noise), count), effects


def known(design: FloatArray, values: FloatArray, noise: float = 0.05) -> Posterior:
    return posterior(design, values, np.full(len(values), noise**2), np.full(design.shape[1], 0.3), 0.1)


def deviations(found: Posterior) -> FloatArray:
    root: FloatArray = np.sqrt((found.root_K_K**2).sum(axis=1))
    return root


def test_effects_are_found_where_they_add_up() -> None:
    design, values, effects = world(0, 40, 0.0)
    assert known(design, values).mean_K == pytest.approx(effects, abs=0.1)


def test_draws_hold_the_true_effects_as_often_as_they_say() -> None:
    inside = []
    for seed in range(200):
        design, values, effects = world(seed, 20, 0.1)
        found = known(design, values)
        inside += list(np.abs(found.mean_K - effects)[1:] < 1.96 * deviations(found)[1:])
    assert 0.91 < np.mean(inside) < 0.98


def test_more_measurements_leave_less_room() -> None:
    few, many = (deviations(known(*world(1, count, 0.1)[:2])) for count in (8, 80))
    assert (many[1:] < few[1:]).all()


def test_values_without_any_structure_show_no_effects() -> None:
    rng = np.random.default_rng(3)
    design, _, _ = world(3, 60, 0.0)
    found = known(design, rng.normal(2.0, 1.0, 60))
    assert np.abs(found.mean_K[1:]).max() < 0.3
    assert found.mean_K[0] == pytest.approx(2.0, abs=0.5)


def test_fewer_measurements_than_effects_are_no_error() -> None:
    design, values, _ = world(4, 3, 0.1)
    found = known(design, values)
    assert np.isfinite(found.draw(np.random.default_rng(0))).all()


def test_equal_measurements_are_no_error() -> None:
    design = np.ones((5, 7))
    assert known(design, np.full(5, 2.0)).mean_K @ design[0] == pytest.approx(2.0, abs=0.05)


def test_one_rough_measurement_moves_less_than_one_exact_one() -> None:
    design = np.array([[1.0, 0.0], [1.0, 1.0]] * 3)
    values = np.array([1.0, 2.0] * 3)
    rough, exact = (known(design, values, noise).mean_K[1] for noise in (1.0, 0.01))
    assert 0.0 < rough < exact < 1.01
