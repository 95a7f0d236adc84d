"""The relative budget: its definition, its regimes, and the shapes of what follows from them."""

from __future__ import annotations

import math

import pytest

from dopr.bounds.relative_budget import iteration_rollouts, largest_gap, least_gain, regime, relative_budget


def test_the_budget_is_the_limit_over_the_tokens_to_a_solution():
    assert relative_budget(3072, 1536) == 2
    for horizon, tokens in ((0, 10), (10, 0), (10, math.nan)):
        with pytest.raises(ValueError, match="above 0"):
            relative_budget(horizon, tokens)


def test_regimes_lie_around_the_range_stated_as_best():
    found = [regime(xi) for xi in (0.01, 1.49, 1.5, 2.0, 2.01, 100)]
    assert found == ["deficient", "deficient", "balanced", "balanced", "ample", "ample"]


def test_an_iteration_s_rollouts_by_hand():
    # kappa = 1/4: kappa^-1/2 = 2; f = 1/4: f^-3/2 = 8
    assert iteration_rollouts("deficient", 0.1, 0.25, informative=0.25) == pytest.approx(16)
    assert iteration_rollouts("balanced", 1.7, 0.25) == pytest.approx(2)
    assert iteration_rollouts("ample", 10, 0.25) == pytest.approx(20)


def test_rollouts_explode_without_budget_and_are_unknown_without_f():
    counts = [iteration_rollouts("deficient", 0.1, 1, informative=share) for share in (0.5, 0.1, 0.01, 0.001)]
    assert counts == sorted(counts)
    assert counts[-1] > 1e4
    assert math.isnan(iteration_rollouts("deficient", 0.1, 1))
    with pytest.raises(ValueError, match="kappa must be above 0"):
        iteration_rollouts("balanced", 1, 0)


def test_gain_and_gap_by_hand():
    assert least_gain(0.04, 0.5) == pytest.approx(0.05)  # .5 * .2 * .5
    assert largest_gap(64, 1.0, math.exp(-2), 0.5, 384) == pytest.approx(1)  # 64 * 3 / 192
    assert largest_gap(64, 1.0, 0.1, 0.5, 2000) == pytest.approx(largest_gap(64, 1.0, 0.1, 0.5, 1000) / 2)
