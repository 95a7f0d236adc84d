"""The error of GRPO's gradient as a U-statistic, for a step of B prompts with G rollouts each."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dopr.analysis.statistics import FloatArray, Numbers
from dopr.errors import UserError


@dataclass(frozen=True)
class GradientVariance:
    """The variance of one group's gradient by cause, in the square of the gradient's units.

    Attributes:
        between: Variance of its expectation between prompts.
        within: Variance of the rollouts within a group.
        remainder: Variance that the noise of the baseline adds.
    """

    between: float
    within: float
    remainder: float


def gradient_error(variance: GradientVariance, prompts: Numbers, group: Numbers) -> FloatArray:
    """Return the mean squared error of a step's gradient: between / B + within / (B G) + remainder / (B G (G - 1)).

    Theorem: MSE = Var_prompt / B + tr(Sigma) / (B G) + O(1 / (B G^2)). Source: "Demystifying Group Relative Policy
        Optimization: Its Policy Gradient is a U-Statistic", arXiv 2603.01162, Theorem 2; second-hand, we read only the
        abstract. We write out the last term by Hoeffding's decomposition (1948): a group's gradient with the mean of
        the other rollouts as baseline is a U-statistic of order two, and its variance has only these terms.
    Assumes: B prompts drawn independently, G >= 2 independent rollouts of each, and advantages that are not divided by
        the reward std. With B = 1 the first term does not shrink for any G. This is the cost of a single prompt.

    Args:
        variance: The variance of one group's gradient.
        prompts: B >= 1, broadcast with `group`.
        group: G >= 2.

    Raises:
        UserError: A group has fewer than two rollouts, or there is no prompt.
    """
    b, g = np.asarray(prompts, dtype=np.float64), np.asarray(group, dtype=np.float64)
    if (b < 1).any() or (g < 2).any():
        raise UserError(f"need at least one prompt and groups of two, not {prompts} and {group}")
    return np.asarray(variance.between / b + variance.within / (b * g) + variance.remainder / (b * g * (g - 1)))


def best_group(variance: GradientVariance) -> float:
    """Return G* = sqrt(c3 / c1), the group size with the least error for a fixed number of rollouts B G.

    Source: arXiv 2603.01162, Theorem 7; second-hand. c1 and c3 are the coefficients of 1 / B and of 1 / (B G^2). G* is
    a real number. It approximates G (G - 1) by G^2, so it is accurate for large groups. Below 2, pairs are best.
    """
    return math.sqrt(variance.remainder / variance.between) if variance.between > 0 else math.inf


def rollouts_for_error(variance: GradientVariance, mean: float, relative: float, group: int) -> float:
    """Return the rollouts B G of a step whose root mean squared error is `relative` times the gradient's size |mean|.

    It inverts gradient_error for a given G. B is not rounded, but it is at least one group. The result is infinite if
    the gradient is zero.

    Raises:
        UserError: group is below 2.
    """
    error_of_one = float(gradient_error(variance, 1, group))
    return group * max(1.0, error_of_one / (relative * mean) ** 2) if mean else math.inf


def of_moments(first: float, second: float) -> tuple[float, GradientVariance]:
    """Return mean and variance of the gradient along the logit of a prompt's success rate.

    This is the one coordinate that a ledger determines. The interpretation is ours. A policy with success rate p has
    the score r - p along it. Its group gradient is the sample variance of the group's rewards r. The expectation is
    p (1 - p).

    Args:
        first: The mean over prompts of p (1 - p).
        second: The mean over prompts of its square.
    """
    between = max(0.0, second - first**2)  # the estimates can give a negative difference
    return first, GradientVariance(between, first - 4 * second, 2 * second)
