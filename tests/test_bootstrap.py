"""Curves with replicates: what a replicate is, by hand, and that intervals hold the truth as often as they say."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dopr.analysis.bootstrap import Curve, resampled_curve, seed_deviations, seed_variance
from dopr.analysis.interval_coverage import CASES, coverage
from dopr.analysis.statistics import even_weights, question_weights

BENCHMARK = np.array([0, 0, 1, 1, 1, 1, 2])
ONE = ("",) * 3


def small_curve(replicates: int = 200) -> tuple[Curve, np.ndarray]:
    accuracy = np.random.default_rng(0).random((3, 4, len(BENCHMARK)))
    questions = question_weights(BENCHMARK, replicates, seed=1)
    deviations = seed_deviations(ONE, replicates, seed=2)
    return resampled_curve(np.arange(4.0), accuracy, even_weights(BENCHMARK), questions, deviations, ONE), accuracy


def test_a_curve_is_the_mean_over_seeds_benchmarks_and_questions():
    curve, accuracy = small_curve()
    by_benchmark = [accuracy[:, :, name == BENCHMARK].mean(axis=2) for name in (0, 1, 2)]
    np.testing.assert_allclose(curve.by_seed, np.mean(by_benchmark, axis=0))
    np.testing.assert_allclose(curve.mean, curve.by_seed.mean(axis=0))


def test_a_replicate_is_the_redrawn_questions_and_a_deviation_of_the_seeds():
    curve, accuracy = small_curve()
    questions, deviations = question_weights(BENCHMARK, 200, seed=1), seed_deviations(ONE, 200, seed=2)
    between, noise = seed_variance(accuracy, even_weights(BENCHMARK), ONE)
    shrink = np.sqrt(np.clip(1 - noise / between, 0, 1))
    for replicate in (0, 77):
        moved = accuracy.mean(axis=0) @ questions[replicate]
        np.testing.assert_allclose(curve.replicates[replicate], moved + deviations[replicate] @ curve.by_seed * shrink)


def test_deviations_have_the_standard_error_and_students_distribution():
    values = np.array([0.1, 0.5, 0.9])
    drawn = seed_deviations(ONE, 50_000, seed=0) @ values
    scaled = drawn / (values.std(ddof=1) / np.sqrt(3))
    assert stats.kstest(scaled, stats.t(2).cdf).pvalue > 0.01
    assert seed_deviations(ONE, 9, seed=0).sum(axis=1) == pytest.approx(0)


def test_deviations_stay_within_their_stratum():
    strata = ("a", "b", "a", "b", "c")
    weights = seed_deviations(strata, 500, seed=3)
    for name in "ab":
        np.testing.assert_allclose(weights[:, [s == name for s in strata]].sum(axis=1), 0, atol=1e-12)
    assert (weights[:, 4] == 0).all()  # of one run nothing is known


def test_the_variance_of_seeds_by_hand():
    # Two seeds, two questions in one benchmark: means .5 and .75, so variance of the mean (.25)^2 / 2 / 2.
    accuracy = np.array([[[0.0, 1.0]], [[0.5, 1.0]]])
    between, noise = seed_variance(accuracy, np.array([0.5, 0.5]), ("", ""))
    assert between == pytest.approx(0.25**2 / 2 / 2)
    # What is left after question means (.25, 1) and seeds' deviations (-.125, .125) is +-.125 on every answer.
    assert noise == pytest.approx(4 * 0.125**2 * 0.25 / 2)


def test_one_run_leaves_the_questions_part_alone():
    accuracy = np.random.default_rng(0).random((1, 2, len(BENCHMARK)))
    questions = question_weights(BENCHMARK, 50, seed=1)
    curve = resampled_curve(
        np.arange(2.0), accuracy, even_weights(BENCHMARK), questions, seed_deviations(("",), 50, 2), ("",)
    )
    np.testing.assert_allclose(curve.replicates, questions @ accuracy[0].T)


def test_replicates_depend_on_their_seeds_alone():
    np.testing.assert_array_equal(small_curve()[0].replicates, small_curve()[0].replicates)
    assert (seed_deviations(ONE, 9, seed=5) != seed_deviations(ONE, 9, seed=6)).any()


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_intervals_hold_the_truth_as_often_as_they_say(case):
    """600 experiments: a share of 95 % has a standard error of 0.9 points. Too wide is allowed, too narrow is not."""
    found = coverage(case, experiments=600, replicates=500)
    assert 0.925 <= found.accuracy <= 0.99
    assert 0.925 <= found.difference <= 0.995
    assert 0.935 <= found.saved <= 1


def test_redrawing_three_seeds_is_too_narrow_where_seeds_differ():
    (case,) = [case for case in CASES if case.name == "the same, seeds that differ much"]
    found = coverage(case, experiments=600, replicates=500)
    assert found.redrawn_accuracy < 0.87
    assert found.accuracy > 0.925
