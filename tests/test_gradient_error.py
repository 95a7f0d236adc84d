"""The gradient's error as a U-statistic's: by hand, by enumeration, and by drawing steps and measuring it."""

from __future__ import annotations

import math
from itertools import combinations, product

import numpy as np
import pytest

from dopr.bounds.gradient_error import (
    GradientVariance,
    best_group,
    gradient_error,
    of_moments,
    rollouts_for_error,
)


def gradients(rewards: np.ndarray, rate: np.ndarray) -> np.ndarray:
    """GRPO's gradient along the success logit: advantages with the mean of the others as baseline, times r - p."""
    group = rewards.shape[-1]
    advantage = (rewards - rewards.mean(axis=-1, keepdims=True)) * group / (group - 1)
    return (advantage * (rewards - rate[..., None])).mean(axis=-1)


def test_the_group_gradient_is_a_u_statistic_of_order_two():
    """It is the mean over pairs of half the product of differences, whatever the baseline does."""
    rewards, rate = np.random.default_rng(0).random((5, 6)), np.full(5, 0.3)
    pairs = [(i, j) for i, j in combinations(range(6), 2)]
    kernel = np.mean([(rewards[:, i] - rewards[:, j]) ** 2 / 2 for i, j in pairs], axis=0)
    np.testing.assert_allclose(gradients(rewards, rate), kernel)


@pytest.mark.parametrize("group", [2, 3, 4, 6])
@pytest.mark.parametrize("p", [0.0, 0.2, 0.5, 0.9])
def test_one_prompt_s_error_by_enumeration_of_every_group(group, p):
    rewards = np.array(list(product((0.0, 1.0), repeat=group)))
    chance = p ** rewards.sum(axis=1) * (1 - p) ** (group - rewards.sum(axis=1))
    found = gradients(rewards, np.full(len(rewards), p))
    mean, variance = of_moments(p * (1 - p), (p * (1 - p)) ** 2)
    assert chance @ found == pytest.approx(mean)
    assert chance @ (found - mean) ** 2 == pytest.approx(float(gradient_error(variance, 1, group)), abs=1e-12)


@pytest.mark.parametrize(("prompts", "group"), [(1, 8), (1, 2), (16, 8), (4, 32)])
def test_the_error_of_steps_that_are_drawn(prompts, group):
    """Prompts drawn from a pool, groups drawn from each: the squared error is what the formula says."""
    rng, rates = np.random.default_rng(1), np.array([0, 0, 0.1, 0.3, 0.5, 0.9, 1])
    chosen = rates[rng.integers(0, len(rates), size=(20_000, prompts))]
    rewards = (rng.random((20_000, prompts, group)) < chosen[..., None]).astype(float)
    steps = gradients(rewards, chosen).mean(axis=1)
    products = rates * (1 - rates)
    mean, variance = of_moments(products.mean(), (products**2).mean())
    assert steps.mean() == pytest.approx(mean, abs=0.003)
    assert ((steps - mean) ** 2).mean() == pytest.approx(float(gradient_error(variance, prompts, group)), rel=0.04)


def test_error_by_hand_and_its_limits():
    variance = GradientVariance(between=1, within=6, remainder=12)
    assert gradient_error(variance, 2, 4) == pytest.approx(1 / 2 + 6 / 8 + 12 / 24)
    assert gradient_error(variance, 1, 10**9) == pytest.approx(1)  # one prompt: its own part does not shrink
    assert gradient_error(variance, 10**9, 4) == pytest.approx(0, abs=1e-8)
    sizes = np.arange(2, 50)
    assert (np.diff(gradient_error(variance, 1, sizes.astype(float))) < 0).all()
    for prompts, group in ((0, 4), (1, 1)):
        with pytest.raises(ValueError, match="at least one prompt and groups of two"):
            gradient_error(variance, prompts, group)


def test_the_best_group_has_the_least_error_at_a_budget():
    variance = GradientVariance(between=1, within=3, remainder=400)
    assert best_group(variance) == pytest.approx(20)
    budget, sizes = 4800.0, np.arange(2.0, 60.0)
    errors = gradient_error(variance, budget / sizes, sizes)
    assert sizes[errors.argmin()] == pytest.approx(best_group(variance), abs=1)
    assert best_group(GradientVariance(0, 1, 1)) == math.inf


def test_rollouts_for_an_error_undo_the_error():
    variance = GradientVariance(between=1, within=6, remainder=12)
    rollouts = rollouts_for_error(variance, mean=0.5, relative=0.2, group=4)
    assert gradient_error(variance, rollouts / 4, 4) == pytest.approx((0.2 * 0.5) ** 2)
    assert rollouts_for_error(variance, mean=100, relative=1, group=4) == 4  # one group at least
    assert rollouts_for_error(variance, mean=0, relative=1, group=4) == math.inf
