"""Aggregates over runs and benchmarks as defined by Agarwal et al. 2021 (arXiv 2108.13264) and their package rliable.

Scores are `[runs, benchmarks]`. We depart from rliable in one point: its stratified bootstrap draws from numpy's global
generator, so its seed does not fix its intervals. Ours has its own generator. The intervals redraw runs only, so they
hold for these questions. With three runs they are too narrow (see dopr.analysis.bootstrap). Read them beside the single
seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike

from dopr.analysis.scores import Evaluation
from dopr.analysis.statistics import FloatArray


def by_benchmark(evaluation: Evaluation) -> FloatArray:
    """Return the sampled accuracy at the last checkpoint, `[runs, benchmarks]`."""
    final = evaluation.sampled[:, -1]
    return np.stack([final[:, evaluation.benchmark == b].mean(axis=1) for b in range(len(evaluation.benchmarks))], 1)


def iqm(scores: FloatArray) -> FloatArray:
    """Return the interquartile mean over the last two axes: without the lowest and the highest quarter of scores.

    A quarter is rounded down to whole scores, as in rliable.
    """
    ordered = np.sort(scores.reshape(*scores.shape[:-2], -1), axis=-1)
    quarter = ordered.shape[-1] // 4
    return np.asarray(ordered[..., quarter : ordered.shape[-1] - quarter].mean(axis=-1))


def performance_profile(scores: FloatArray, thresholds: ArrayLike) -> FloatArray:
    """Return the share of the scores of the last two axes that are above each threshold, `[..., thresholds]`."""
    flat = scores.reshape(*scores.shape[:-2], -1)
    # One threshold at a time: all at once would hold replicates x thresholds x scores.
    return np.stack([(flat > threshold).mean(axis=-1) for threshold in np.asarray(thresholds)], axis=-1)


def probability_of_improvement(scores: FloatArray, other: FloatArray) -> FloatArray:
    """Return the chance that a run scores higher than another method's run, averaged over benchmarks.

    Ties count half.
    """
    pairs = np.sign(scores[..., :, None, :] - other[..., None, :, :])
    return np.asarray((0.5 * (1 + pairs)).mean(axis=(-3, -2, -1)))


def redrawn(
    statistic: Callable[..., FloatArray], scores: Sequence[FloatArray], replicates: int, seed: int
) -> FloatArray:
    """Apply a statistic to replicates whose runs are redrawn in each benchmark (the stratified bootstrap).

    Args:
        statistic: A function of score arrays.
        scores: One array for each argument of the statistic, `[runs, benchmarks]`.
        replicates: Number of replicates.
        seed: Seed of the generator.

    Returns:
        `[replicates, ...]`.
    """
    rng = np.random.default_rng(seed)
    arguments = []
    for method_scores in scores:
        runs, benchmarks = method_scores.shape
        run_indices = rng.integers(0, runs, size=(replicates, runs, benchmarks))
        arguments.append(method_scores[run_indices, np.arange(benchmarks)])
    return statistic(*arguments)
