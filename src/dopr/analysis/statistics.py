"""Percentile intervals, and question weights for the bootstrap of dopr.analysis.bootstrap."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Numbers = float | FloatArray

LEVEL = 0.95


def interval(samples: FloatArray, level: float = LEVEL) -> tuple[FloatArray, FloatArray]:
    """Return the percentile interval along the first axis, as (low, high).

    The ends are order statistics, rounded outwards. So infinite samples give an infinite end, and no nan.
    """
    tail = (1 - level) / 2
    low = np.quantile(samples, tail, axis=0, method="lower")
    high = np.quantile(samples, 1 - tail, axis=0, method="higher")
    return np.asarray(low, dtype=np.float64), np.asarray(high, dtype=np.float64)


def even_weights(benchmark: ArrayLike) -> FloatArray:
    """Return weights that average over the questions of each benchmark, then over benchmarks.

    Args:
        benchmark: The benchmark of each question, as an integer, `[questions]`.

    Returns:
        `[questions]`, with sum 1.
    """
    _, inverse, sizes = np.unique(np.asarray(benchmark), return_inverse=True, return_counts=True)
    return 1.0 / (sizes[inverse] * len(sizes))


def question_weights(benchmark: ArrayLike, replicates: int, seed: int) -> FloatArray:
    """Return the even_weights of questions drawn with replacement within each benchmark, `[replicates, questions]`."""
    labels = np.asarray(benchmark)
    names, sizes = np.unique(labels, return_counts=True)
    rng = np.random.default_rng(seed)
    weights = np.empty((replicates, labels.size))
    for name, size in zip(names, sizes.tolist(), strict=True):
        counts = rng.multinomial(size, np.full(size, 1 / size), size=replicates)
        weights[:, labels == name] = counts / (size * len(names))
    return weights


def redraw_weights(count: int, replicates: int, seed: int) -> FloatArray:
    """Return weights of `count` items drawn with replacement, `[replicates, count]`; rows sum to 1."""
    counts = np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=replicates)
    return np.asarray(counts / count, dtype=np.float64)
