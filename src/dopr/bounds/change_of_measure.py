"""A lower bound on the graded rollouts that distinguish a trained policy from its starting policy."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import rel_entr

from dopr.analysis.statistics import FloatArray, Numbers
from dopr.bounds.bound import Constants, Kind
from dopr.errors import UserError

KIND: Kind = "needed to detect"


def binary_kl(p: Numbers, q: Numbers) -> FloatArray:
    """Return kl(p, q) = p ln(p/q) + (1-p) ln((1-p)/(1-q)), in nats; infinite where q excludes an outcome of p.

    By data processing and joint convexity it is also a lower bound: the KL divergence of a policy with mean accuracy p
    from one with mean accuracy q is at least kl(p, q) nats for each completion, averaged over the same questions.

    Args:
        p, q: Probabilities, broadcast together.

    Raises:
        UserError: p or q is not a probability. nan gives nan.
    """
    p_array, q_array = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    if ((p_array < 0) | (p_array > 1)).any() or ((q_array < 0) | (q_array > 1)).any():
        raise UserError(f"kl({p}, {q}) is defined for probabilities")
    divergence = rel_entr(p_array, q_array) + rel_entr(1 - p_array, 1 - q_array)
    return np.asarray(np.maximum(divergence, 0.0))  # rounding can make it negative where p and q are equal


def rollouts_to_distinguish(base: Numbers, trained: Numbers, delta: float) -> FloatArray:
    """Return the lower bound on graded rollouts n >= ln(1 / (2.4 delta)) / kl(trained, base).

    Theorem: Change of measure, kl(delta, 1 - delta) >= ln(1 / (2.4 delta)). Source: Kaufmann, Cappe and Garivier,
        "On the complexity of best-arm identification", JMLR 2016, Lemma 1; from memory.
    Assumes: Independent graded rollouts of a policy with success rate `trained`, and any test that distinguishes it
        from `base` with an error of at most delta either way. n is the expected number of graded rollouts.
    Limits: It says nothing about training that policy. Any larger number of rollouts is compatible with it.

    Args:
        base, trained: Success rates, broadcast together.
        delta: Within (0, 1/2).

    Raises:
        UserError: delta is not within (0, 1/2), or a rate is not a probability.
    """
    if not 0 < delta < 0.5:
        raise UserError(f"delta must lie within (0, 1/2), not {delta}")
    evidence = max(0.0, math.log(1 / (2.4 * delta)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(evidence > 0, evidence / binary_kl(trained, base), 0.0)


def bound(constants: Constants, accuracy: FloatArray) -> FloatArray:
    """Return the rollouts that distinguish a policy with an accuracy from the starting one; 0 if it is not better."""
    better = accuracy > constants.base
    rollouts = rollouts_to_distinguish(constants.base, np.where(better, accuracy, 1.0), constants.delta)
    return np.where(better, rollouts, np.where(np.isnan(constants.base), np.nan, 0.0))
