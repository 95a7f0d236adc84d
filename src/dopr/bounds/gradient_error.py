"""The error of GRPO's gradient as that of a U-statistic: what a step of B prompts with G rollouts each knows."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dopr.analysis.statistics import FloatArray, Numbers
from dopr.errors import UserError


@dataclass(frozen=True)
class GradientVariance:
    """Of one group's gradient: `between` prompts (of its expectation), and of the rollouts `within` a group, with the
    `remainder` that the baseline's own noise adds; all in the square of the gradient's units."""

    between: float
    within: float
    remainder: float


def gradient_error(variance: GradientVariance, prompts: Numbers, group: Numbers) -> FloatArray:
    """Mean squared error of a step's gradient: between / B + within / (B G) + remainder / (B G (G - 1)).

    Theorem: MSE = Var_prompt / B + tr(Sigma) / (B G) + O(1 / (B G^2)). Source: "Demystifying Group Relative Policy
        Optimization: Its Policy Gradient is a U-Statistic", arXiv 2603.01162, Theorem 2; second-hand, the abstract
        alone was read. We write the last term out, which Hoeffding's decomposition (1948) allows: a group's gradient
        with the mean of the others as baseline is a U-statistic of order two, and its variance has these terms alone.
    Assumes: B prompts drawn independently, G >= 2 independent rollouts of each, advantages that are not divided by the
        group's standard deviation. With B = 1 the first term does not shrink, whatever G is: the price of one prompt.

    Args:
        prompts: B >= 1. group: G >= 2. Both are broadcast together.

    Raises:
        UserError: a group has fewer than two rollouts, or there is no prompt.
    """
    b, g = np.asarray(prompts, dtype=np.float64), np.asarray(group, dtype=np.float64)
    if (b < 1).any() or (g < 2).any():
        raise UserError(f"need at least one prompt and groups of two, not {prompts} and {group}")
    return np.asarray(variance.between / b + variance.within / (b * g) + variance.remainder / (b * g * (g - 1)))


def best_group(variance: GradientVariance) -> float:
    """G* = sqrt(c3 / c1), the group size with the least error for a given number of rollouts B G, as a real number.

    Source: arXiv 2603.01162, Theorem 7; second-hand. c1 and c3 are the coefficients of 1 / B and of 1 / (B G^2). It
    takes G (G - 1) for G^2, so it is good for large groups; where it is below 2, pairs are best.
    """
    return math.sqrt(variance.remainder / variance.between) if variance.between > 0 else math.inf


def rollouts_for_error(variance: GradientVariance, mean: float, relative: float, group: int) -> float:
    """Rollouts B G of a step whose root mean squared error is `relative` times the gradient's own size |mean|.

    The inverse of gradient_error for a given G. B is not rounded, but at least one group is spent. Infinite where the
    gradient is zero.

    Raises:
        UserError: group is below 2.
    """
    one = float(gradient_error(variance, 1, group))
    return group * max(1.0, one / (relative * mean) ** 2) if mean else math.inf


def success_logit(rate: Numbers, weights: FloatArray | None = None) -> tuple[float, GradientVariance]:
    """Mean and variance of the gradient along the one coordinate a ledger knows: the logit of a prompt's success.

    That reading is ours. A policy whose success rate is p has the score r - p along it; its group gradient is then the
    sample variance of the group's rewards r, and its expectation p (1 - p).

    Args:
        rate: p of each prompt, shape (prompts,). weights: of the prompts, summing to 1; none: all alike.
    """
    p = np.asarray(rate, dtype=np.float64)
    first, second = p * (1 - p), (p * (1 - p)) ** 2
    even = np.full(p.shape, 1 / p.size) if weights is None else weights
    return of_moments(float(first @ even), float(second @ even))


def of_moments(first: float, second: float) -> tuple[float, GradientVariance]:
    """success_logit from the means over prompts of p (1 - p) and of its square."""
    between = max(0.0, second - first**2)  # estimates of the two may cross
    return first, GradientVariance(between, first - 4 * second, 2 * second)
