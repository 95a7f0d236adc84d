"""pass@k, intervals and the bootstrap: numbers worked out by hand, properties, and coverage."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from dopr.analysis.pass_at_k import pass_at_k
from dopr.analysis.statistics import even_weights, interval, question_weights, redraw_weights

# --- pass@k ---


def test_pass_at_k_by_hand():
    # 4 samples, 1 correct: a pair misses it in C(3,2) / C(4,2) = 3/6 of the cases.
    assert pass_at_k(4, 1, 2) == pytest.approx(0.5)
    assert pass_at_k(4, [0, 1, 2, 3, 4], 2) == pytest.approx([0, 1 / 2, 5 / 6, 1, 1])
    assert pass_at_k(8, 3, 1) == pytest.approx(3 / 8)


@pytest.mark.parametrize(("n", "k"), [(1, 1), (5, 2), (6, 4), (7, 7)])
def test_pass_at_k_is_the_share_of_subsets_with_a_correct_sample(n, k):
    for correct in range(n + 1):
        subsets = list(itertools.combinations([1] * correct + [0] * (n - correct), k))
        assert pass_at_k(n, correct, k) == pytest.approx(np.mean([max(subset) for subset in subsets]))


def test_pass_at_k_is_unbiased_where_the_plug_in_is_not():
    rng = np.random.default_rng(0)
    n, k, p = 8, 4, 0.15
    counts = rng.binomial(n, p, size=20_000)
    truth = 1 - (1 - p) ** k
    assert pass_at_k(n, counts, k).mean() == pytest.approx(truth, abs=0.01)
    assert np.mean(1 - (1 - counts / n) ** k) < truth - 0.05


def test_pass_at_k_keeps_the_shape_and_rises_with_k():
    counts = np.array([[0, 1, 2], [3, 5, 6]])
    values = np.stack([pass_at_k(6, counts, k) for k in range(1, 7)])
    assert values.shape == (6, 2, 3)
    assert (np.diff(values, axis=0) >= 0).all()


@pytest.mark.parametrize(("n", "correct", "k"), [(4, 2, 5), (4, 2, 0), (4, 5, 1), (4, -1, 1)])
def test_pass_at_k_refuses_what_cannot_be(n, correct, k):
    with pytest.raises(ValueError, match=r"pass@|counts"):
        pass_at_k(n, correct, k)


def test_pass_at_k_with_samples_of_each_question():
    mixed = pass_at_k([4, 8, 4], [[1, 3, 0], [4, 0, 2]], 2)
    by_hand = [[pass_at_k(4, 1, 2), pass_at_k(8, 3, 2), 0], [1, 0, pass_at_k(4, 2, 2)]]
    np.testing.assert_allclose(mixed, np.array(by_hand, dtype=float))
    with pytest.raises(ValueError, match=r"pass@5 needs 1 <= k <= n, but there are n = 4 samples"):
        pass_at_k([4, 8], [1, 1], 5)


# --- interval ---


def test_interval_takes_outward_order_statistics():
    low, high = interval(np.arange(1.0, 101.0))
    assert (low, high) == (3, 98)  # 2.5 % of 99 steps is 2.475: down to the 3rd, up to the 98th


def test_interval_with_infinite_samples_has_an_infinite_end_and_no_nan():
    samples = np.concatenate([np.arange(90.0), np.full(10, np.inf)])
    low, high = interval(samples)
    assert low == 2
    assert np.isinf(high)


def test_interval_works_column_by_column():
    samples = np.stack([np.arange(100.0), np.arange(100.0) * 2], axis=1)
    low, high = interval(samples)
    np.testing.assert_array_equal(low, [2, 4])
    np.testing.assert_array_equal(high, [97, 194])


# --- weights ---

BENCHMARK = np.array([0, 0, 1, 1, 1, 1, 2])


def test_even_weights_give_the_mean_over_benchmarks_of_their_means():
    answers = np.array([1, 0, 1, 1, 1, 0, 0])
    assert answers @ even_weights(BENCHMARK) == pytest.approx((1 / 2 + 3 / 4 + 0) / 3)


def test_question_weights_keep_each_benchmarks_share():
    weights = question_weights(BENCHMARK, 50, seed=3)
    for name in (0, 1, 2):
        np.testing.assert_allclose(weights[:, name == BENCHMARK].sum(axis=1), 1 / 3)
    counts = weights[:, BENCHMARK == 1] * 3 * 4  # draws of each of four questions
    np.testing.assert_allclose(counts, counts.round(), atol=1e-9)
    assert len(np.unique(counts.round(), axis=0)) > 10


def test_weights_average_to_the_even_ones():
    np.testing.assert_allclose(
        question_weights(BENCHMARK, 20_000, seed=0).mean(axis=0), even_weights(BENCHMARK), atol=0.005
    )
    np.testing.assert_allclose(redraw_weights(3, 20_000, seed=0).mean(axis=0), 1 / 3, atol=0.01)


def test_weights_depend_on_the_seed_alone():
    np.testing.assert_array_equal(question_weights(BENCHMARK, 9, seed=5), question_weights(BENCHMARK, 9, seed=5))
    assert (question_weights(BENCHMARK, 9, seed=5) != question_weights(BENCHMARK, 9, seed=6)).any()
    state = np.random.get_state()[1].copy()
    redraw_weights(3, 5, seed=1)
    np.testing.assert_array_equal(np.random.get_state()[1], state)  # the global generator is left alone


def test_three_seeds_have_ten_resamples():
    assert len(np.unique(redraw_weights(3, 2000, seed=0), axis=0)) == 10
