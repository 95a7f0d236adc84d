"""Estimates of what bounds stand on from counts of correct rollouts, without the bias of putting c / n for p."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from dopr.analysis.statistics import FloatArray, pass_at_k
from dopr.errors import UserError

FEWEST = 4  # rollouts a visit that variance_moments takes


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


def variance_moments(correct: ArrayLike, drawn: int) -> tuple[FloatArray, FloatArray]:
    """Unbiased estimates of p (1 - p) and of its square for each prompt, from c correct of `drawn` >= 4 rollouts.

    The shares of pairs with one correct and one wrong, and of quadruples with two of each, in a given order.

    Raises:
        UserError: fewer than four rollouts were drawn.
    """
    if drawn < FEWEST:
        raise UserError(f"the variance of groups takes profiles of at least {FEWEST} rollouts a visit, not {drawn}")
    c, n = np.asarray(correct, dtype=np.float64), float(drawn)
    pairs = c * (n - c) / (n * (n - 1))
    return pairs, pairs * (c - 1) * (n - c - 1) / ((n - 2) * (n - 3))


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
