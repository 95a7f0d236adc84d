"""Saving ratios: by hand, with budgets that end too early, and what pairing the questions gains."""

from __future__ import annotations

import numpy as np
import pytest

from dopr.analysis.bootstrap import resampled_curve, seed_deviations
from dopr.analysis.rollouts_to_target import RolloutsToTarget, rollouts_to_target
from dopr.analysis.saving_ratio import saving_ratio
from dopr.analysis.statistics import even_weights, question_weights

NEVER = float("nan")


def reached(rollouts: float, replicates: list[float], budget: float) -> RolloutsToTarget:
    return RolloutsToTarget(0.7, budget, rollouts, np.array([rollouts]), np.array(replicates))


def test_a_saving_is_the_ratio_replicate_by_replicate():
    found = saving_ratio(reached(1000, [1000, 900, 1200], 2000), reached(500, [500, 300, 600], 1000))
    assert (found.value, found.bound, found.share_known) == (2, "", 1)
    assert (found.low, found.high) == (2, 3)
    assert found.verdict == "fewer rollouts"


def test_a_reference_that_never_arrives_gives_a_lower_bound():
    found = saving_ratio(reached(NEVER, [NEVER, NEVER], 2000), reached(500, [500, 400], 1000))
    assert (found.value, found.bound) == (4, ">")
    assert (found.low, found.high) == (4, np.inf)
    assert (found.share_known, found.verdict) == (0, "fewer rollouts")


def test_a_method_that_never_arrives_gives_an_upper_bound():
    found = saving_ratio(reached(500, [500, 400], 2000), reached(NEVER, [NEVER, NEVER], 1000))
    assert (found.value, found.bound) == (0.5, "<")
    assert (found.low, found.high) == (0, 0.5)
    assert found.verdict == "more rollouts"


def test_a_short_budget_proves_nothing():
    """The method stopped at 100 rollouts: that the reference needs 500 does not make it five times better."""
    found = saving_ratio(reached(500, [500, 500], 2000), reached(NEVER, [NEVER, NEVER], 100))
    assert (found.value, found.bound, found.low, found.high) == (5, "<", 0, 5)
    assert found.verdict == "no measurable difference"


def test_neither_arriving_says_nothing():
    found = saving_ratio(reached(NEVER, [NEVER], 2000), reached(NEVER, [NEVER], 1000))
    assert np.isnan(found.value)
    assert (found.low, found.high, found.verdict) == (0, np.inf, "target not reached")


def test_a_target_met_by_the_starting_policy_says_nothing():
    found = saving_ratio(reached(0, [0, 0], 2000), reached(0, [0, 0], 1000))
    assert np.isnan(found.value)
    assert (found.low, found.high) == (0, np.inf)


def test_an_interval_that_spans_one_is_no_measurable_difference():
    found = saving_ratio(reached(100, [90, 120], 500), reached(100, [100, 100], 500))
    assert (found.low, found.high) == (0.9, 1.2)
    assert found.verdict == "no measurable difference"


def test_sharing_the_questions_makes_a_comparison_sharper():
    """Two methods that differ by a constant factor on the same questions: paired, the ratio has no question noise."""
    rng = np.random.default_rng(4)
    ease = rng.normal(0, 0.3, 40)
    rise = np.clip(np.linspace(0, 1, 6)[:, None] + ease, 0, 1)
    accuracy = np.repeat(rise[None], 3, axis=0)
    benchmark, seeds = np.zeros(40, dtype=int), seed_deviations(("",) * 3, 400, seed=0)
    widths = []
    for other in (1, 2):
        curves = [
            resampled_curve(
                x, accuracy, even_weights(benchmark), question_weights(benchmark, 400, seed=s), seeds, ("",) * 3
            )
            for x, s in ((np.arange(6.0) * 200, 1), (np.arange(6.0) * 100, other))
        ]
        found = saving_ratio(rollouts_to_target(curves[0], 0.6), rollouts_to_target(curves[1], 0.6))
        assert found.value == pytest.approx(2)
        widths.append(found.high - found.low)
    assert widths[0] == pytest.approx(0, abs=1e-9)
    assert widths[1] > 0.1
