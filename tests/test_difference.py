"""Differences of two methods: parts of the variance by hand, parity with scipy, Holm, and what can be resolved."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from dopr.analysis.difference import Runs, difference, holm
from dopr.analysis.statistics import even_weights

ONE = np.zeros(40, dtype=int)


def compare(method, reference, benchmark=ONE, samples=4):
    sides = [Runs(np.asarray(runs, dtype=float), ("",) * len(runs)) for runs in (method, reference)]
    return difference(*sides, benchmark, even_weights(benchmark), np.full(len(benchmark), samples))


def test_with_one_run_each_it_is_the_paired_t_test():
    rng = np.random.default_rng(0)
    one, other = rng.random((1, 40)), rng.random((1, 40))
    found, expected = compare(one, other), stats.ttest_rel(one[0], other[0])
    assert found.value == pytest.approx((one - other).mean())
    assert found.p == pytest.approx(expected.pvalue)
    low, high = expected.confidence_interval()
    np.testing.assert_allclose(found.interval, (low, high))


def test_with_questions_all_alike_it_is_welchs_t_test_over_seeds():
    rng = np.random.default_rng(1)
    one, other = rng.random((4, 1)), rng.random((3, 1))
    found = compare(np.repeat(one, 40, 1), np.repeat(other, 40, 1))
    expected = stats.ttest_ind(one[:, 0], other[:, 0], equal_var=False)
    assert found.p == pytest.approx(expected.pvalue)
    np.testing.assert_allclose(found.interval, expected.confidence_interval())
    assert found.questions == pytest.approx(0)


def test_equal_methods_do_not_differ():
    runs = np.random.default_rng(0).random((3, 40))
    found = compare(runs, runs)
    assert (found.value, found.p) == (0, 1)


def test_benchmarks_count_alike_whatever_their_size():
    benchmark = np.array([0] * 30 + [1] * 10)
    one = np.concatenate([np.full(30, 0.5), np.full(10, 1.0)])[None]
    found = compare(one, np.zeros((1, 40)), benchmark)
    assert found.value == pytest.approx(0.75)


def test_the_part_of_the_samples_is_that_of_the_binomial():
    rng = np.random.default_rng(0)
    rates = rng.random(40)
    found = [
        compare(rng.binomial(8, rates, (3, 40)) / 8, rng.binomial(8, rates, (3, 40)) / 8, samples=8).samples
        for _ in range(300)
    ]
    assert np.mean(found) == pytest.approx(2 * (rates * (1 - rates)).sum() / 8 / 40**2 / 3, rel=0.05)
    assert np.isnan(compare(np.ones((3, 40)), np.zeros((3, 40)), samples=1).samples)


def test_a_resolved_difference_is_found_in_four_cases_of_five():
    rng, sizes, found = np.random.default_rng(0), [], 0
    draw = lambda shift: 0.5 + shift + rng.normal(0, 0.2, (1, 40)) + rng.normal(0, 0.05, (3, 1))  # noqa: E731
    for _ in range(200):
        sizes.append(compare(draw(0), draw(0)).resolved)
    for _ in range(400):
        found += bool(compare(draw(float(np.median(sizes))), draw(0)).p < 0.05)
    assert 0.7 < found / 400 < 0.9


def test_a_benchmark_of_one_question_says_nothing():
    found = compare(np.ones((3, 1)), np.zeros((3, 1)), np.zeros(1, dtype=int))
    assert np.isnan(found.p)


def test_holm_by_hand_and_as_scipys_bound():
    # Sorted .01 .02 .04: times 3, 2, 1 gives .03 .04 .04.
    np.testing.assert_allclose(holm([0.04, 0.01, 0.02]), [0.04, 0.03, 0.04])
    np.testing.assert_allclose(holm([0.5, 0.9]), [1, 1])
    p = np.random.default_rng(0).random(20)
    adjusted = holm(p)
    assert (adjusted >= p).all()
    assert (adjusted <= np.minimum(20 * p, 1) + 1e-12).all()  # never above Bonferroni
    assert (np.diff(adjusted[np.argsort(p)]) >= 0).all()
