"""A method's accuracy over its training, with replicates that differ as repetitions of the experiment would.

A repetition would draw other questions, other seeds and other samples, so a replicate is

    (redrawn questions) . (accuracy of each question, mean over seeds)  +  shrink * (deviation of the seeds' mean)

Questions are redrawn within their benchmark, by the bootstrap; two methods are compared on the same questions by giving
both the same weights. Seeds are too few to be redrawn: three have ten different resamples, with two thirds of the real
variance, and intervals over them cover 60 to 80 % instead of 95. So the deviation of their mean is drawn from Student's
t distribution with n - 1 degrees of freedom, times their standard error: the normal-theory interval, as replicates.

Seeds also differ because each has its own samples of every question. The redrawn questions carry that noise already
(the mean over seeds has it), so `shrink` takes its share out of the seeds' part, as it is subtracted in an analysis of
variance: without it, it would count twice. docs/evaluation.md has the coverage, which benchmarks/interval_coverage.py
measures.

With one run a stratum there is no seeds' part: the interval holds for these runs alone.
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

    rollouts: training rollouts spent, shape (checkpoints,). mean: over the seeds, shape (checkpoints,).
    by_seed: shape (seeds, checkpoints). replicates: of the mean, shape (replicates, checkpoints).
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
    """The curve of runs and its replicates.

    Args:
        rollouts: shape (checkpoints,).
        accuracy: of each question, shape (seeds, checkpoints, questions), or another share from 0 to 1.
        weights: of the questions in the point estimate, shape (questions,).
        questions: of the questions in each replicate, shape (replicates, questions).
        deviations: of the seeds in each replicate, shape (replicates, seeds), from seed_deviations.
        strata: what each seed's run belongs to (its pool), of length seeds.
    """
    by_seed = accuracy @ weights
    between, samples = seed_variance(accuracy, weights, strata)
    shrink = np.sqrt(np.clip(1 - samples / np.where(between > 0, between, np.inf), 0, 1)) * (between > 0)
    replicates = questions @ accuracy.mean(axis=0).T + deviations @ by_seed * shrink
    return Curve(rollouts, by_seed.mean(axis=0), by_seed, np.clip(replicates, 0, 1))  # Student's t has long tails


def seed_deviations(strata: Sequence[str], replicates: int, seed: int) -> FloatArray:
    """Weights, shape (replicates, seeds), that turn seeds' numbers into deviations of their mean; rows sum to 0.

    In a stratum of n seeds the weighted sum is its standard error times a draw of Student's t with n - 1 degrees of
    freedom; strata keep their share of the mean.
    """
    weights = np.zeros((replicates, len(strata)))
    for i, members in enumerate(_members(strata)):
        n = int(members.sum())
        if n > 1:
            rng = np.random.default_rng(seed + i)
            normal = rng.normal(size=(replicates, n))
            scale = np.sqrt((n - 1) / rng.chisquare(n - 1, size=(replicates, 1)) / (n * (n - 1)))
            weights[:, members] = (normal - normal.mean(axis=1, keepdims=True)) * scale * n / len(strata)
    return weights


def seed_variance(accuracy: FloatArray, weights: FloatArray, strata: Sequence[str]) -> tuple[FloatArray, FloatArray]:
    """Variance of the mean over seeds as their spread shows it, and the part that questions' noise within a seed makes.

    That noise (samples, and what a seed learned of single questions) is what is left of a question's accuracy when its
    mean over seeds and the seed's mean are taken out.

    Args:
        accuracy: shape (seeds, ..., questions). weights: shape (questions,). strata: see resampled_curve.

    Returns:
        Both of shape (...); zeros where no stratum has two seeds.
    """
    between, noise = np.zeros(accuracy.shape[1:-1]), np.zeros(accuracy.shape[1:-1])
    for members in _members(strata):
        n = int(members.sum())
        if n > 1:
            runs, share = accuracy[members], n / len(strata)
            by_seed = runs @ weights
            rest = runs - runs.mean(axis=0) - (by_seed - by_seed.mean(axis=0))[..., None]
            between += share**2 * by_seed.var(axis=0, ddof=1) / n
            noise += share**2 * ((rest**2).sum(axis=0) @ weights**2) / (n * (n - 1))
    return between, noise


def _members(strata: Sequence[str]) -> Iterator[NDArray[np.bool_]]:
    labels = np.asarray(strata)
    return (labels == name for name in dict.fromkeys(strata))
