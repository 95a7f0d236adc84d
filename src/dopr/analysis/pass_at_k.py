"""pass@k: the chance that one of k samples of a question is correct."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from dopr.analysis.statistics import FloatArray
from dopr.errors import UserError


def pass_at_k(n: ArrayLike, correct: ArrayLike, k: int) -> FloatArray:
    """Return the unbiased estimate 1 - C(n - c, k) / C(n, k) of the chance that one of k samples is correct.

    Source: Chen et al. 2021 (arXiv 2107.03374).

    Args:
        n: Number of samples of all questions or of each, broadcast with `correct`.
        correct: Number of correct samples, c. Integers from 0 to n of any shape.
        k: Number of attempts.

    Raises:
        UserError: k is not within 1..n, or a count is not within 0..n.
    """
    counts, samples = np.broadcast_arrays(np.asarray(correct, dtype=np.int64), np.asarray(n, dtype=np.int64))
    if not 1 <= k <= int(np.min(n)):
        raise UserError(f"pass@{k} needs 1 <= k <= n, but there are n = {np.min(n)} samples")
    if (counts < 0).any() or (counts > samples).any():
        raise UserError(f"correct counts must lie within 0..{np.max(n)}")
    values = np.empty(counts.shape)
    for size in np.unique(samples).tolist():
        by_count = [1 - math.comb(size - c, k) / math.comb(size, k) for c in range(size + 1)]
        values[samples == size] = np.asarray(by_count)[counts[samples == size]]
    return values
