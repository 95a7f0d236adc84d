"""Aggregates over runs and benchmarks as defined by Agarwal et al. 2021 (arXiv 2108.13264), whose package is rliable.

Ours draws from a generator of its own: rliable's stratified bootstrap draws from numpy's global one, so that its seed
does not fix its intervals. Scores have shape (runs, benchmarks). With three runs these intervals, which redraw runs
alone and hold for these questions, are too narrow (see dopr.analysis.bootstrap): read them beside the single seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from dopr.analysis.scores import Evaluation
from dopr.analysis.statistics import FloatArray


def by_benchmark(evaluation: Evaluation) -> FloatArray:
    """Sampled accuracy at the last checkpoint, shape (runs, benchmarks)."""
    final = evaluation.sampled[:, -1]
    return np.stack([final[:, evaluation.benchmark == b].mean(axis=1) for b in range(len(evaluation.benchmarks))], 1)


def iqm(scores: FloatArray) -> FloatArray:
    """Interquartile mean: of all scores of the last two axes, without the lowest and the highest quarter.

    A quarter is rounded down to whole scores, as rliable does.
    """
    ordered = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    cut = ordered.shape[-1] // 4
    return np.asarray(ordered[..., cut : ordered.shape[-1] - cut].mean(axis=-1))


def performance_profile(scores: FloatArray, thresholds: ArrayLike) -> FloatArray:
    """Share of the scores of the last two axes that are above each threshold; shape (..., thresholds)."""
    flat = scores.reshape(*scores.shape[:-2], -1)
    # One threshold at a time: all at once would hold replicates x thresholds x scores.
    return np.stack([(flat > threshold).mean(axis=-1) for threshold in np.asarray(thresholds)], axis=-1)


def probability_of_improvement(scores: FloatArray, other: FloatArray) -> FloatArray:
    """Chance that a run has a higher score than a run of another method, averaged over benchmarks; ties count half."""
    pairs = np.sign(scores[..., :, None, :] - other[..., None, :, :])
    return np.asarray((0.5 * (1 + pairs)).mean(axis=(-3, -2, -1)))


def redrawn(
    statistic: Callable[..., FloatArray], scores: Sequence[FloatArray], replicates: int, seed: int
) -> FloatArray:
    """A statistic of scores whose runs are redrawn, for each benchmark on its own (the stratified bootstrap).

    Args:
        scores: one array for each argument of the statistic, all of shape (runs, benchmarks).

    Returns:
        Shape (replicates, ...).
    """
    rng = np.random.default_rng(seed)
    drawn = []
    for each in scores:
        runs, benchmarks = each.shape
        chosen = rng.integers(0, runs, size=(replicates, runs, benchmarks))
        drawn.append(each[chosen, np.arange(benchmarks)])
    return statistic(*drawn)
