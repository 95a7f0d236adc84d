"""KL-regularised bandits: rollouts without which the regularised objective stays a gap away from its best."""

from __future__ import annotations

import numpy as np

from dopr.analysis.statistics import FloatArray, Numbers
from dopr.bounds.bound import Constants
from dopr.errors import UserError

WEAKEST = 4.0  # eta must be larger
LARGEST = 1 / 256  # the gap must be smaller


def regularised_rollouts(gap: Numbers, inverse_kl: float, log_cover: float = 1.0, constant: float = 1.0) -> FloatArray:
    """Rollouts n >= c min(eta log N(eps) / eps, log N(eps) / eps^2); nan where the theorem does not apply.

    Theorem: lower bound for KL-regularised contextual bandits and RLHF. Source: "Sharp Analysis for KL-Regularized
        Contextual Bandits and RLHF", arXiv 2411.04625, Theorems 3.6 and 3.8; second-hand, the abstract alone was read:
        it states the rates 1 / eps (regularised, eps small) and 1 / eps^2, not the constants.
    Assumes: eta > 4 and eps < 1/256; rewards in [0, 1]; the worst case in a class of reward functions with log N(eps)
        nats of covering number at scale eps.
    The constant c is not in our source; 1 stands in for it.

    Args:
        gap: eps, how far the regularised objective may stay from its best; any shape.
        inverse_kl: eta, 1 / (weight of the KL term); inf without one, which leaves the second rate.
        log_cover: log N(eps) >= 0, free; it cannot be measured on a network.

    Raises:
        UserError: a gap or log_cover is negative.
    """
    width = np.asarray(gap, dtype=np.float64)
    if (width < 0).any() or log_cover < 0:
        raise UserError(f"need gaps and log_cover of at least 0, not {gap} and {log_cover}")
    with np.errstate(divide="ignore"):
        rollouts = constant * log_cover * np.minimum(inverse_kl / width, 1 / width**2)
    return np.where((width < LARGEST) & (inverse_kl > WEAKEST), rollouts, np.nan)


def bound(constants: Constants, accuracy: FloatArray, log_cover: float = 1.0) -> FloatArray:
    """regularised_rollouts at a gap of 1 - accuracy: of accuracy alone, and as if all questions could be solved.

    Both are ours. A best below 1 makes the true gap smaller and the true number larger.
    """
    return regularised_rollouts(1 - accuracy, constants.inverse_kl, log_cover)
