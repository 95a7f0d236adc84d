"""Sample-complexity bounds, each with its source, its assumptions and its units, and how their constants are measured.

None of these is the DoPR paper's own theorem, which is not public to us. Each is named as what it is.
Logarithms are natural; information is in nats.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from dopr.errors import UserError
from dopr.statistics import FloatArray, pass_at_k


def binary_kl(p: float, q: float) -> float:
    """kl(p, q) = p ln(p/q) + (1-p) ln((1-p)/(1-q)), in nats; infinite where q rules out what p allows.

    Raises:
        UserError: p or q is not a probability.
    """
    if not (0 <= p <= 1 and 0 <= q <= 1):
        raise UserError(f"kl({p}, {q}) is defined for probabilities")
    total = 0.0
    for a, b in ((p, q), (1 - p, 1 - q)):
        if a > 0:
            total += a * math.log(a / b) if b > 0 else math.inf
    return total


def rollouts_to_distinguish(base: float, trained: float, delta: float) -> float:
    """Change of measure: graded rollouts n >= ln(1 / (2.4 delta)) / kl(trained, base).

    Source: Kaufmann, Cappe and Garivier, "On the complexity of best-arm identification", JMLR 2016 (Lemma 1 and the
        inequality kl(delta, 1 - delta) >= ln(1 / (2.4 delta))).
    Assumes: independent graded rollouts of a policy whose success rate is `trained`, and any test that tells it from
        `base` with an error of at most delta either way. n is the expected number of graded rollouts.
    Does not say: what it takes to train that policy. Any number of rollouts above it is compatible with it.

    Raises:
        UserError: delta is not within (0, 1/2).
    """
    if not 0 < delta < 0.5:
        raise UserError(f"delta must lie within (0, 1/2), not {delta}")
    divergence = binary_kl(trained, base)
    return max(0.0, math.log(1 / (2.4 * delta))) / divergence if divergence else math.inf


def class_size(dimension: float, coverage: float, epsilon: float) -> float:
    """log|Pi| = d (1 + ln(C / eps)), in nats: the size of the worst-case class behind sharpening_rollouts.

    Args:
        dimension: d >= 1, free; it is not a number of parameters and cannot be measured on a network.
        coverage: C >= 1. epsilon: within (0, 1].

    Raises:
        UserError: an argument is out of range.
    """
    if dimension < 1 or coverage < 1 or not 0 < epsilon <= 1:
        raise UserError(f"need d >= 1, C >= 1, 0 < eps <= 1, not d={dimension}, C={coverage}, eps={epsilon}")
    return dimension * (1 + math.log(coverage / epsilon))


def sharpening_rollouts(coverage: float, log_class: float, epsilon: float, constant: float = 1.0) -> float:
    """Sharpening lower bound: rollouts m >= c C log|Pi| / (eps^2 (1 + ln(C / eps))).

    Source: Huang et al., "Self-Improvement in Language Models: The Sharpening Mechanism", arXiv 2412.01951, Thm 3.1.
    Assumes: m = prompts x samples each, drawn from the base policy, in a worst-case class of log-size log|Pi| =
        class_size(d, C, eps) whose coverage E_x[1 / pi_base(y*|x)] is at most C; eps is the share of prompts on which
        the result does not put more than half its mass on y*. We read y* as "a correct answer" (the theorem: the most
        likely answer under the base policy).
    The constant c is universal but not given in the source; 1 stands in for it, so only the shape in C, d and eps is
        the theorem's, not the height.

    Raises:
        UserError: an argument is out of range.
    """
    per_dimension = class_size(1, coverage, epsilon)
    return constant * coverage * log_class / (epsilon**2 * per_dimension)


def unsharpened_floor(coverage: float, dimension: float, rollouts: ArrayLike, constant: float = 1.0) -> FloatArray:
    """The same bound solved for eps with log|Pi| = class_size: eps >= sqrt(c C d / m), at most 1.

    A value of 1 is vacuous: with so few rollouts the theorem excludes nothing.

    Args:
        rollouts: m > 0, any shape.
    """
    budget = np.asarray(rollouts, dtype=np.float64)
    return np.minimum(1.0, np.sqrt(constant * coverage * dimension / budget))


def informative_share(p: ArrayLike, group: int) -> FloatArray:
    """q(p, G) = 1 - p^G - (1 - p)^G: the chance that a group of G independent rollouts has mixed rewards."""
    rate = np.asarray(p, dtype=np.float64)
    return 1 - rate**group - (1 - rate) ** group


def rollouts_per_informative_group(share: float, group: int) -> float:
    """Expected rollouts G / q until one group carries signal, when groups are drawn again until one does.

    Source: elementary (geometric distribution). Assumes groups are independent with the same chance `share`; for
    uniform sampling of a pool that is the mean of q(p, G) over its prompts. No selector does better than
    G / informative_share(1/2, G).
    """
    return group / share if share > 0 else math.inf


def first_visits(history: Mapping[str, Sequence[float]], group: int) -> FloatArray:
    """Correct rollouts among the `group` of each visited prompt's first visit; shape (visited prompts,).

    The nearest the profile has to the base policy. It is not quite that: first visits are spread over the first
    epoch, during which the policy already learns.
    """
    return np.array([round(values[0] * group) for values in history.values() if len(values)], dtype=np.float64)


def measured_informative_share(correct: ArrayLike, drawn: int, group: int) -> FloatArray:
    """Unbiased estimate of q(p, G) for each prompt from c correct of `drawn` >= G rollouts, any shape.

    It is the share of G-subsets with mixed rewards. Putting c / drawn for p into informative_share is biased: a prompt
    that happened to be all wrong would count as hopeless.

    Raises:
        UserError: G is larger than `drawn`.
    """
    counts = np.asarray(correct, dtype=np.int64)
    # pass_at_k is 1 - P(no correct one in a subset); the same with the roles exchanged for no wrong one.
    return pass_at_k(drawn, counts, group) + pass_at_k(drawn, drawn - counts, group) - 1


def coverage(correct: ArrayLike, drawn: ArrayLike, weights: FloatArray) -> FloatArray:
    """C: the weighted mean over solvable questions of 1 / (pass rate of the base policy).

    1 / p is estimated by (n + 1) / (c + 1), whose expectation never exceeds 1 / p, so that a bound drawn with it is
    if anything too low. A question never solved in n tries is left out: its 1 / p could be infinite.

    Args:
        correct: c of each question, shape (questions,). drawn: n, rollouts of each question, or of all.
        weights: of the questions, shape (..., questions), non-negative.

    Returns:
        Shape (...); nan where no question was solved.
    """
    counts = np.asarray(correct, dtype=np.float64)
    solved = weights * (counts > 0)
    with np.errstate(invalid="ignore"):
        return np.asarray((solved @ ((np.asarray(drawn) + 1) / (counts + 1))) / solved.sum(axis=-1), dtype=np.float64)
