"""Sharpening: rollouts of the starting policy without which no learner raises its right answers above one half."""

from __future__ import annotations

import numpy as np

from dopr.analysis.statistics import FloatArray, Numbers
from dopr.bounds.bound import Constants
from dopr.errors import UserError


def class_size(dimension: float, coverage: Numbers, epsilon: Numbers) -> FloatArray:
    """log|Pi| = d (1 + ln(C / eps)), in nats: the size of the worst-case class behind sharpening_rollouts.

    Args:
        dimension: d >= 1, free; it is not a number of parameters and cannot be measured on a network.
        coverage: C >= 1. epsilon: within (0, 1]. Both are broadcast together.

    Raises:
        UserError: an argument is out of range.
    """
    cover, share = np.asarray(coverage, dtype=np.float64), np.asarray(epsilon, dtype=np.float64)
    if dimension < 1 or (cover < 1).any() or (share <= 0).any() or (share > 1).any():
        raise UserError(f"need d >= 1, C >= 1, 0 < eps <= 1, not d={dimension}, C={coverage}, eps={epsilon}")
    return np.asarray(dimension * (1 + np.log(cover / share)))


def sharpening_rollouts(coverage: Numbers, log_class: Numbers, epsilon: Numbers, constant: float = 1.0) -> FloatArray:
    """Rollouts m >= c C log|Pi| / (eps^2 (1 + ln(C / eps))).

    Theorem: the sharpening lower bound. Source: Huang et al., "Self-Improvement in Language Models: The Sharpening
        Mechanism", arXiv 2412.01951, Theorem 3.1; stated, read in full.
    Assumes: m = prompts x samples each, drawn from the starting policy, in a worst-case class of log-size log|Pi| =
        class_size(d, C, eps) whose coverage E_x[1 / pi_base(y*|x)] is at most C; eps is the share of prompts on which
        the result does not put more than half its mass on y*. We read y* as "a correct answer" (the theorem: the most
        likely answer under the starting policy), and rollouts of the run as if all were of the starting policy.
    The constant c is universal but not given in the source; 1 stands in for it, so only the shape in C, d and eps is
        the theorem's, not the height.

    Args:
        coverage: C >= 1. log_class: log|Pi|, in nats. epsilon: within (0, 1]. All are broadcast together.

    Raises:
        UserError: an argument is out of range.
    """
    per_dimension = class_size(1, coverage, epsilon)
    return np.asarray(constant * np.asarray(coverage) * log_class / (np.asarray(epsilon) ** 2 * per_dimension))


def bound(constants: Constants, accuracy: FloatArray, dimension: float = 1.0) -> FloatArray:
    """Rollouts for an accuracy: sharpening_rollouts at eps = 2 (1 - accuracy).

    That step is ours: a question that is not sharpened is answered correctly half of the time at most, so
    accuracy <= 1 - eps / 2. Up to an accuracy of 1/2 nothing is excluded. Questions that the starting policy never
    solved are left out of C, and counted in the accuracy: that makes the bound too low, if anything.
    """
    epsilon = 2 * (1 - accuracy)
    share = np.where(epsilon > 0, np.minimum(epsilon, 1), 1.0)
    needed = sharpening_rollouts(constants.coverage, class_size(dimension, constants.coverage, share), share)
    return np.select([epsilon > 1, epsilon > 0], [0 * needed, needed], np.inf * needed)
