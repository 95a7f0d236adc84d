"""How many graded rollouts it takes to tell a trained policy from the one it started as."""

from __future__ import annotations

import math

import numpy as np
from scipy.special import rel_entr

from dopr.analysis.statistics import FloatArray, Numbers
from dopr.bounds.bound import Constants
from dopr.errors import UserError


def binary_kl(p: Numbers, q: Numbers) -> FloatArray:
    """kl(p, q) = p ln(p/q) + (1-p) ln((1-p)/(1-q)), in nats; infinite where q rules out what p allows.

    By data processing and joint convexity it is also a floor: a policy of mean accuracy p is at least kl(p, q) nats
    a completion away from one of mean accuracy q, averaged over the same questions.

    Args:
        p, q: probabilities, broadcast together.

    Raises:
        UserError: p or q is not a probability (nan is passed on).
    """
    one, other = np.asarray(p, dtype=np.float64), np.asarray(q, dtype=np.float64)
    if ((one < 0) | (one > 1)).any() or ((other < 0) | (other > 1)).any():
        raise UserError(f"kl({p}, {q}) is defined for probabilities")
    rounded = rel_entr(one, other) + rel_entr(1 - one, 1 - other)
    return np.asarray(np.maximum(rounded, 0.0))  # where they are equal it can come out below 0


def rollouts_to_distinguish(base: Numbers, trained: Numbers, delta: float) -> FloatArray:
    """Graded rollouts n >= ln(1 / (2.4 delta)) / kl(trained, base).

    Theorem: the change of measure, kl(delta, 1 - delta) >= ln(1 / (2.4 delta)). Source: Kaufmann, Cappe and Garivier,
        "On the complexity of best-arm identification", JMLR 2016, Lemma 1; recalled, not read again.
    Assumes: independent graded rollouts of a policy whose success rate is `trained`, and any test that tells it from
        `base` with an error of at most delta either way. n is the expected number of graded rollouts.
    Does not say: what it takes to train that policy. Any number of rollouts above it is compatible with it.

    Args:
        base, trained: success rates, broadcast together. delta: within (0, 1/2).

    Raises:
        UserError: delta is not within (0, 1/2), or a rate is not a probability.
    """
    if not 0 < delta < 0.5:
        raise UserError(f"delta must lie within (0, 1/2), not {delta}")
    evidence = max(0.0, math.log(1 / (2.4 * delta)))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(evidence > 0, evidence / binary_kl(trained, base), 0.0)


def bound(constants: Constants, accuracy: FloatArray) -> FloatArray:
    """Rollouts to tell a policy of an accuracy from the starting one; 0 for one that is no better."""
    better = accuracy > constants.base
    needed = rollouts_to_distinguish(constants.base, np.where(better, accuracy, 1.0), constants.delta)
    return np.where(better, needed, np.where(np.isnan(constants.base), np.nan, 0.0))
