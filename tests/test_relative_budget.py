"""The relative budget: its definition and its regimes."""

from __future__ import annotations

import math

import pytest

from dopr.bounds.relative_budget import regime, relative_budget


def test_the_budget_is_the_limit_over_the_tokens_to_a_solution():
    assert relative_budget(3072, 1536) == 2
    for horizon, tokens in ((0, 10), (10, 0), (10, math.nan)):
        with pytest.raises(ValueError, match="above 0"):
            relative_budget(horizon, tokens)


def test_regimes_lie_around_the_range_stated_as_best():
    found = [regime(xi) for xi in (0.01, 1.49, 1.5, 2.0, 2.01, 100)]
    assert found == ["deficient", "deficient", "balanced", "balanced", "ample", "ample"]
