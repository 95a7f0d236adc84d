"""A method's accuracy during training, with replicates that vary as repetitions of the experiment would.

A repetition would draw other questions, other seeds and other samples. So a replicate is

    (redrawn questions) . (accuracy of each question, mean over seeds)  +  shrink * (deviation of the seeds' mean)

Questions are redrawn within their benchmark by the bootstrap. Two methods are compared on the same questions: both get
the same weights. Seeds are too few to be redrawn. Three seeds have ten different resamples with two thirds of the real
variance, and intervals over them cover 60 to 80 % instead of 95 %. So the deviation of their mean is drawn from
Student's t distribution with n - 1 degrees of freedom, times their standard error. This is the normal-theory interval
in the form of replicates.

Seeds also differ because each has its own samples of every question. The redrawn questions already have that noise,
since the mean over seeds has it. So `shrink` removes its share from the deviation of the seeds, as an analysis of
variance subtracts it; without `shrink` it would count twice. docs/evaluation.md has the coverage, and `python
benchmarks/interval_coverage.py` measures it.

With one run in each stratum there is no deviation of the seeds: the interval holds for these runs only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from dopr.analysis.statistics import FloatArray


@dataclass(frozen=True)
class Curve:
    """A method's accuracy at its checkpoints.

    Attributes:
        rollouts: Training rollouts up to each checkpoint, `[checkpoints]`.
        mean: Mean accuracy over seeds, `[checkpoints]`.
        by_seed: Accuracy of each seed, `[seeds, checkpoints]`.
        replicates: Bootstrap replicates of the mean, `[replicates, checkpoints]`.
    """

    rollouts: FloatArray
    mean: FloatArray
    by_seed: FloatArray
    replicates: FloatArray


def resampled_curve(
    rollouts: FloatArray,
    accuracy: FloatArray,
    weights: FloatArray,
    questions: FloatArray,
    deviations: FloatArray,
    strata: Sequence[str],
) -> Curve:
    """Return the curve of runs with its replicates.

    Args:
        rollouts: Training rollouts up to each checkpoint, `[checkpoints]`.
        accuracy: Accuracy, or another share from 0 to 1, of each question, `[seeds, checkpoints, questions]`.
        weights: Question weights of the point estimate, `[questions]`.
        questions: Question weights of each replicate, `[replicates, questions]`.
        deviations: Seed weights of each replicate from seed_deviations, `[replicates, seeds]`.
        strata: The stratum of each seed's run, which is its pool.
    """
    by_seed = accuracy @ weights
    between, noise = seed_variance(accuracy, weights, strata)
    shrink = np.sqrt(np.clip(1 - noise / np.where(between > 0, between, np.inf), 0, 1)) * (between > 0)
    replicates = questions @ accuracy.mean(axis=0).T + deviations @ by_seed * shrink
    return Curve(rollouts, by_seed.mean(axis=0), by_seed, np.clip(replicates, 0, 1))  # Student's t has long tails


def seed_deviations(strata: Sequence[str], replicates: int, seed: int) -> FloatArray:
    """Return weights, `[replicates, seeds]`, that turn the seeds' numbers into deviations of their mean.

    Rows sum to 0. In a stratum of n seeds the weighted sum is the stratum's standard error times a draw of Student's t
    with n - 1 degrees of freedom. Strata keep their share of the mean.
    """
    weights = np.zeros((replicates, len(strata)))
    for index, mask in enumerate(_masks(strata)):
        n = int(mask.sum())
        if n > 1:
            rng = np.random.default_rng(seed + index)
            normal = rng.normal(size=(replicates, n))
            scale = np.sqrt((n - 1) / rng.chisquare(n - 1, size=(replicates, 1)) / (n * (n - 1)))
            weights[:, mask] = (normal - normal.mean(axis=1, keepdims=True)) * scale * n / len(strata)
    return weights


def seed_variance(accuracy: FloatArray, weights: FloatArray, strata: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Estimate the variance of the mean over seeds, and the part of it that is noise of questions within a seed.

    The noise comes from samples, and from what a seed learned about single questions. It is the residual of a
    question's accuracy after its mean over seeds and the seed's mean are subtracted.

    Args:
        accuracy: `[seeds, ..., questions]`.
        weights: Question weights, `[questions]`.
        strata: See resampled_curve.

    Returns:
        Both `[...]`; zeros where no stratum has two seeds.
    """
    between, noise = np.zeros(accuracy.shape[1:-1]), np.zeros(accuracy.shape[1:-1])
    for mask in _masks(strata):
        n = int(mask.sum())
        if n > 1:
            runs, share = accuracy[mask], n / len(strata)
            by_seed = runs @ weights
            residual = runs - runs.mean(axis=0) - (by_seed - by_seed.mean(axis=0))[..., None]
            between += share**2 * by_seed.var(axis=0, ddof=1) / n
            noise += share**2 * ((residual**2).sum(axis=0) @ weights**2) / (n * (n - 1))
    return between, noise


def _masks(strata: Sequence[str]) -> Iterator[NDArray[np.bool_]]:
    """Yield a mask over the seeds for each stratum."""
    labels = np.asarray(strata)
    return (labels == name for name in dict.fromkeys(strata))
