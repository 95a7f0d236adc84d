"""KL-regularised bandits: a lower bound on the rollouts for a given gap of the regularised objective."""

from __future__ import annotations

import numpy as np

from dopr.analysis.statistics import FloatArray, Numbers
from dopr.bounds.bound import Constants, Kind
from dopr.errors import UserError

KIND: Kind = "needed to learn"
WEAKEST = 4.0  # eta must be larger
LARGEST = 1 / 256  # the gap must be smaller


def regularised_rollouts(gap: Numbers, inverse_kl: float, log_cover: float = 1.0, constant: float = 1.0) -> FloatArray:
    """Return rollouts n >= c min(eta log N(eps) / eps, log N(eps) / eps^2); nan where the theorem does not apply.

    Theorem: Lower bound for KL-regularised contextual bandits and RLHF. Source: "Sharp Analysis for KL-Regularized
        Contextual Bandits and RLHF", arXiv 2411.04625, Theorems 3.6 and 3.8; second-hand, we read only the abstract.
        It states the rates 1 / eps (regularised, small eps) and 1 / eps^2, not the constants.
    Assumes: eta > 4 and eps < 1/256; rewards in [0, 1]; the worst case in a class of reward functions with log N(eps)
        nats of covering number at scale eps.
    We do not know the constant c. We use 1.

    Args:
        gap: eps, the distance of the regularised objective from its optimum; any shape.
        inverse_kl: eta, 1 / (weight of the KL term); inf without one, so that the second rate applies.
        log_cover: log N(eps) >= 0. It is an option, since it cannot be measured on a network.
        constant: c.

    Raises:
        UserError: A gap or log_cover is negative.
    """
    width = np.asarray(gap, dtype=np.float64)
    if (width < 0).any() or log_cover < 0:
        raise UserError(f"need gaps and log_cover of at least 0, not {gap} and {log_cover}")
    with np.errstate(divide="ignore"):
        rollouts = constant * log_cover * np.minimum(inverse_kl / width, 1 / width**2)
    return np.where((width < LARGEST) & (inverse_kl > WEAKEST), rollouts, np.nan)


def bound(constants: Constants, accuracy: FloatArray, log_cover: float = 1.0) -> FloatArray:
    """Return regularised_rollouts at a gap of 1 - accuracy.

    Two simplifications are ours: the gap is of the accuracy without the KL term, and the optimum is 1. An optimum below
    1 makes the true gap smaller and the true number larger.
    """
    return regularised_rollouts(1 - accuracy, constants.inverse_kl, log_cover)
