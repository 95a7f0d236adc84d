"""Estimates of the constants of bounds from counts of correct rollouts. Using c / n for p would give a bias."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import ArrayLike

from dopr.analysis.pass_at_k import pass_at_k
from dopr.analysis.statistics import FloatArray
from dopr.errors import UserError

FEWEST = 4  # of each visit, for variance_moments


def first_visits(history: Mapping[str, Sequence[float]], group: int) -> FloatArray:
    """Return the number of correct rollouts in each visited prompt's first visit, `[visited prompts]`.

    Of all visits in the profile, first visits are nearest to the starting policy. They are not exactly of it: they are
    spread over the first epoch, and the policy already learns during it.

    Args:
        history: Prompt id -> accuracy of each visit.
        group: Rollouts of each visit.
    """
    return np.array([round(values[0] * group) for values in history.values() if len(values)], dtype=np.float64)


def measured_informative_share(correct: ArrayLike, drawn: int, group: int) -> FloatArray:
    """Return an unbiased estimate of q(p, G) for each prompt from c correct of `drawn` >= G rollouts.

    It is the share of G-subsets that are informative. Using c / drawn for p in informative_share would be biased: a
    prompt whose rollouts happen to be all wrong would get a share of 0.

    Args:
        correct: c of each prompt, of any shape.
        drawn: Rollouts of each prompt.
        group: G.

    Raises:
        UserError: G is larger than `drawn`.
    """
    counts = np.asarray(correct, dtype=np.int64)
    # pass_at_k is 1 - P(no correct rollout in a subset). With exchanged roles it is 1 - P(no wrong rollout).
    return pass_at_k(drawn, counts, group) + pass_at_k(drawn, drawn - counts, group) - 1


def variance_moments(correct: ArrayLike, drawn: int) -> tuple[FloatArray, FloatArray]:
    """Return unbiased estimates of p (1 - p) and of its square for each prompt, from c correct of `drawn` rollouts.

    They are the share of ordered pairs with one correct and one wrong rollout, and the share of ordered quadruples with
    two of each.

    Raises:
        UserError: Fewer than four rollouts were drawn.
    """
    if drawn < FEWEST:
        raise UserError(f"the variance of groups takes profiles of at least {FEWEST} rollouts a visit, not {drawn}")
    c, n = np.asarray(correct, dtype=np.float64), float(drawn)
    pairs = c * (n - c) / (n * (n - 1))
    return pairs, pairs * (c - 1) * (n - c - 1) / ((n - 2) * (n - 3))


def coverage(correct: ArrayLike, drawn: ArrayLike, weights: FloatArray) -> FloatArray:
    """Return C, the weighted mean over solvable questions of 1 / (pass rate of the starting policy).

    1 / p is estimated by (n + 1) / (c + 1). Its expectation never exceeds 1 / p, so the bound can only be too low. A
    question that no rollout solved is left out, since its 1 / p could be infinite.

    Args:
        correct: c of each question, `[questions]`.
        drawn: n, the rollouts of each question or of all.
        weights: Non-negative question weights, `[..., questions]`.

    Returns:
        `[...]`; nan where no question was solved.
    """
    counts = np.asarray(correct, dtype=np.float64)
    solved = weights * (counts > 0)
    with np.errstate(invalid="ignore"):
        return np.asarray((solved @ ((np.asarray(drawn) + 1) / (counts + 1))) / solved.sum(axis=-1), dtype=np.float64)
