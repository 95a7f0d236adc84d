"""Aggregates over runs and benchmarks: by hand, by rliable's definitions, and against scipy."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from rliable import metrics  # its bootstrap does not import with pandas 3
from scipy import stats

from dopr.analysis.aggregates import iqm, performance_profile, probability_of_improvement, redrawn

SCORES = np.arange(12.0).reshape(3, 4) / 12


def test_iqm_is_scipys_trimmed_mean():
    assert iqm(SCORES) == pytest.approx(stats.trim_mean(SCORES, 0.25, axis=None))
    drawn = np.random.default_rng(0).random((7, 3, 5))
    np.testing.assert_allclose(iqm(drawn), [stats.trim_mean(each, 0.25, axis=None) for each in drawn])
    assert iqm(np.array([[0.0, 0.2], [0.4, 1.0]])) == pytest.approx(0.3)  # .2 and .4 are left


def test_the_performance_profile_is_the_share_above():
    np.testing.assert_allclose(performance_profile(SCORES, [0, 0.5, 1]), [11 / 12, 5 / 12, 0])


def test_the_probability_of_improvement_is_mann_whitneys():
    rng = np.random.default_rng(0)
    one, other = rng.integers(0, 5, (4, 3)) / 4, rng.integers(0, 5, (5, 3)) / 4
    by_hand = [
        np.mean([(a > b) + 0.5 * (a == b) for a, b in itertools.product(one[:, k], other[:, k])]) for k in range(3)
    ]
    assert probability_of_improvement(one, other) == pytest.approx(np.mean(by_hand))
    u = [stats.mannwhitneyu(one[:, k], other[:, k]).statistic / 20 for k in range(3)]
    assert probability_of_improvement(one, other) == pytest.approx(np.mean(u))
    assert probability_of_improvement(one, one) == pytest.approx(0.5)


@pytest.mark.parametrize(("runs", "others"), [(3, 5), (8, 4), (1, 1)])
def test_they_are_rliables(runs, others):
    rng = np.random.default_rng(runs)
    one, other = rng.integers(0, 9, (runs, 6)) / 8, rng.integers(0, 9, (others, 6)) / 8
    assert iqm(one) == pytest.approx(metrics.aggregate_iqm(one), rel=1e-12)
    assert probability_of_improvement(one, other) == pytest.approx(metrics.probability_of_improvement(one, other))


def test_runs_are_redrawn_within_each_benchmark_from_the_seed_alone():
    drawn = redrawn(lambda scores: scores, [SCORES], 500, 0)
    for benchmark in range(4):
        assert set(drawn[..., benchmark].ravel()) == set(SCORES[:, benchmark])
    np.testing.assert_allclose(drawn.mean(axis=(0, 1)), SCORES.mean(axis=0), atol=0.03)
    np.testing.assert_array_equal(redrawn(iqm, [SCORES], 50, 3), redrawn(iqm, [SCORES], 50, 3))
    assert (redrawn(iqm, [SCORES], 50, 3) != redrawn(iqm, [SCORES], 50, 4)).any()
