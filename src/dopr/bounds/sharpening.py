"""Sharpening: a lower bound on the rollouts of the starting policy that any learner needs."""

from __future__ import annotations

import numpy as np

from dopr.analysis.statistics import FloatArray, Numbers
from dopr.bounds.bound import Constants, Kind
from dopr.errors import UserError

KIND: Kind = "needed to learn"


def class_size(dimension: float, coverage: Numbers, epsilon: Numbers) -> FloatArray:
    """Return log|Pi| = d (1 + ln(C / eps)), in nats, the size of the worst-case class of sharpening_rollouts.

    Args:
        dimension: d >= 1. It is an option: it is not a number of parameters and cannot be measured on a network.
        coverage: C >= 1, broadcast with `epsilon`.
        epsilon: Within (0, 1].

    Raises:
        UserError: An argument is out of range.
    """
    c_array, eps_array = np.asarray(coverage, dtype=np.float64), np.asarray(epsilon, dtype=np.float64)
    if dimension < 1 or (c_array < 1).any() or (eps_array <= 0).any() or (eps_array > 1).any():
        raise UserError(f"need d >= 1, C >= 1, 0 < eps <= 1, not d={dimension}, C={coverage}, eps={epsilon}")
    return np.asarray(dimension * (1 + np.log(c_array / eps_array)))


def sharpening_rollouts(coverage: Numbers, log_class: Numbers, epsilon: Numbers, constant: float = 1.0) -> FloatArray:
    """Return rollouts m >= c C log|Pi| / (eps^2 (1 + ln(C / eps))).

    Theorem: The sharpening lower bound. Source: Huang et al., "Self-Improvement in Language Models: The Sharpening
        Mechanism", arXiv 2412.01951, Theorem 3.1, which we read in full.
    Assumes: m = prompts x samples of each, drawn from the starting policy. The class has log-size log|Pi| =
        class_size(d, C, eps) and coverage E_x[1 / pi_base(y*|x)] of at most C. eps is the share of prompts on which the
        result does not put more than half of its mass on y*.
    Departures: We read y* as "a correct answer". In the theorem it is the most likely answer under the starting policy.
        We count all rollouts of a run as rollouts of the starting policy.
    The source does not give the universal constant c. We use 1, so only the shape in C, d and eps is the theorem's, not
        the height.

    Args:
        coverage: C >= 1.
        log_class: log|Pi|, in nats.
        epsilon: Within (0, 1]. All three are broadcast together.
        constant: c.

    Raises:
        UserError: An argument is out of range.
    """
    per_dimension = class_size(1, coverage, epsilon)
    return np.asarray(constant * np.asarray(coverage) * log_class / (np.asarray(epsilon) ** 2 * per_dimension))


def bound(constants: Constants, accuracy: FloatArray, dimension: float = 1.0, constant: float = 1.0) -> FloatArray:
    """Return the rollouts for an accuracy: sharpening_rollouts at eps = 2 (1 - accuracy).

    This step is ours: a question that is not sharpened is answered correctly at most half of the time, so
    accuracy <= 1 - eps / 2. Up to an accuracy of 1/2 nothing is excluded. Questions that the starting policy never
    solved are not in C, but they count in the accuracy. So the bound can only be too low.
    """
    epsilon = 2 * (1 - accuracy)
    valid_epsilon = np.where(epsilon > 0, np.minimum(epsilon, 1), 1.0)
    log_class = class_size(dimension, constants.coverage, valid_epsilon)
    rollouts = sharpening_rollouts(constants.coverage, log_class, valid_epsilon, constant)
    return np.select([epsilon > 1, epsilon > 0], [0 * rollouts, rollouts], np.inf * rollouts)
