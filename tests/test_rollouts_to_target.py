"""Rollouts to a target accuracy: by hand, between checkpoints, and with budgets that end too early."""

from __future__ import annotations

import numpy as np
import pytest

from dopr.analysis.bootstrap import Curve
from dopr.analysis.rollouts_to_target import first_crossing, rollouts_to_target


def test_crossing_by_hand():
    x, y = [0, 100, 300], [0.2, 0.4, 0.8]
    assert first_crossing(x, y, 0.3) == pytest.approx(50)  # half of the way from 0 to 100
    assert first_crossing(x, y, 0.5) == pytest.approx(150)  # a quarter of the way from 100 to 300
    assert first_crossing(x, y, 0.8) == pytest.approx(300)
    assert np.isnan(first_crossing(x, y, 0.81))


def test_crossing_is_the_first_one_and_needs_no_monotone_curve():
    x, y = [0, 10, 20, 30, 40], [0.1, 0.5, 0.3, 0.9, 0.2]
    assert first_crossing(x, y, 0.4) == pytest.approx(7.5)
    assert first_crossing(x, y, 0.6) == pytest.approx(25)


def test_a_curve_that_starts_at_the_target_crosses_at_its_start():
    assert first_crossing([5, 10], [0.7, 0.9], 0.7) == 5
    assert first_crossing([5, 10], [0.9, 0.1], 0.7) == 5


def test_crossing_of_many_curves_is_that_of_each():
    rng = np.random.default_rng(1)
    x, curves = np.array([0.0, 3, 4, 9, 20]), rng.random((3, 7, 5))
    together = first_crossing(x, curves, 0.8)
    assert together.shape == (3, 7)
    one_by_one = np.array([[first_crossing(x, curve, 0.8) for curve in row] for row in curves])
    np.testing.assert_array_equal(together, one_by_one)
    assert np.isnan(together).any()
    assert np.isfinite(together).any()


def test_a_higher_target_is_never_reached_earlier():
    curve = np.random.default_rng(2).random(30)
    found = np.array([first_crossing(np.arange(30), curve, target) for target in np.linspace(0, curve.max(), 20)])
    assert (np.diff(found) >= 0).all()


def curve_of(
    by_seed: list[list[float]], replicates: list[list[float]], rollouts: tuple[float, ...] = (0, 100, 200)
) -> Curve:
    seeds = np.array(by_seed)
    return Curve(np.array(rollouts, dtype=float), seeds.mean(axis=0), seeds, np.array(replicates))


def test_reach_is_the_crossing_of_the_mean_and_counts_the_seeds_that_arrive():
    curve = curve_of([[0.2, 0.4, 0.8], [0.2, 0.3, 0.4]], [[0.2, 0.5, 0.6], [0.2, 0.3, 0.4]])
    found = rollouts_to_target(curve, 0.5)
    assert found.rollouts == pytest.approx(160)  # the mean goes .35 -> .6 over the last 100
    np.testing.assert_allclose(found.by_seed, [125, np.nan])
    assert (found.seeds_reached, found.share_reached, found.budget) == (1, 0.5, 200)


def test_an_interval_with_censored_replicates_is_open_above_and_starts_at_most_at_the_budget():
    curve = curve_of([[0.2, 0.3, 0.4]], [[0.2, 0.3, 0.4]] * 40)
    assert np.isnan(rollouts_to_target(curve, 0.5).rollouts)
    assert rollouts_to_target(curve, 0.5).interval == (200, np.inf)


def test_one_censored_replicate_in_a_hundred_does_not_open_the_interval():
    curve = curve_of([[0.2, 0.3, 0.6]], [[0.2, 0.3, 0.6]] * 99 + [[0.2, 0.3, 0.4]])
    low, high = rollouts_to_target(curve, 0.45).interval
    assert low == pytest.approx(150)
    assert high == pytest.approx(150)


def test_rollouts_spent_before_training_are_added_everywhere():
    found = rollouts_to_target(curve_of([[0.2, 0.4, 0.8]], [[0.2, 0.5, 0.6]] * 3), 0.5).after(1000)
    assert (found.rollouts, found.budget) == (pytest.approx(1125), 1200)
    np.testing.assert_allclose(found.by_seed, [1125])
    np.testing.assert_allclose(found.replicates, [1100] * 3)
