"""The difference of two methods on the same questions: its standard error by cause, interval, p-value, and the smallest
difference that such an experiment resolves.

With the accuracy y of seed s on question q, the difference of two means over seeds and questions varies because

    questions  another benchmark of this kind has others: the variance of the questions' own differences / questions
    seeds      another run learns something else: the variance of the seeds' means / seeds, in either method
    samples    another evaluation draws others: p (1 - p) / samples, of every question and seed

A question's difference, taken as the mean over seeds, has the noise of the samples in it, and so has a seed's mean; so
the variances of both are added and that noise (the residual of questions x seeds) is subtracted once, as in an analysis
of variance with two random factors. The interval is Student's t, with degrees of freedom by Satterthwaite (1946). It
holds for new questions of the same kind, not only for these. docs/evaluation.md has its coverage.

With one run a method nothing is known of the seeds: then the interval holds for these two runs alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtr, stdtrit

from dopr.analysis.bootstrap import seed_variance
from dopr.analysis.statistics import LEVEL, FloatArray, IntArray

POWER = 0.8
Strata = tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """Method minus reference, and what it is known by; all arrays have one shape, such as (checkpoints,).

    variance, freedom: of the difference. questions, seeds, samples: the variance's parts by cause, as far as they can
    be told apart (samples: nan with one sample a question).
    """

    value: FloatArray
    variance: FloatArray
    freedom: FloatArray
    questions: FloatArray
    seeds: FloatArray
    samples: FloatArray

    @property
    def interval(self) -> tuple[FloatArray, FloatArray]:
        """The 95 % interval."""
        half = stdtrit(self.freedom, (1 + LEVEL) / 2) * np.sqrt(self.variance)
        return self.value - half, self.value + half

    @property
    def p(self) -> FloatArray:
        """Two-sided p-value of no difference; 1 where the two are equal on every question and seed."""
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.abs(self.value) / np.sqrt(self.variance)
        return np.where(self.value == 0, 1.0, 2 * stdtr(self.freedom, -statistic))

    @property
    def resolved(self) -> FloatArray:
        """The smallest true difference that such an experiment tells from none, at 5 %, in 80 % of the cases."""
        quantiles = stdtrit(self.freedom, (1 + LEVEL) / 2) + stdtrit(self.freedom, POWER)
        return np.asarray(quantiles * np.sqrt(self.variance))


@dataclass(frozen=True)
class Runs:
    """One method's runs on some questions: accuracy, shape (seeds, ..., questions), and each run's pool."""

    accuracy: FloatArray
    strata: Strata


def difference(
    method: Runs, reference: Runs, benchmark: IntArray, weights: FloatArray, samples: IntArray
) -> Difference:
    """Compare two methods.

    Args:
        benchmark, weights, samples: of each question, shape (questions,): its benchmark's number, its weight in the
            mean, and how many samples it has.
    """
    apart = method.accuracy.mean(axis=0) - reference.accuracy.mean(axis=0)
    spread, squares = _question_variance(apart, benchmark, weights)
    between, noise = np.zeros_like(spread), np.zeros_like(spread)
    drawn = np.zeros_like(spread)
    for side in (method, reference):
        found, within = seed_variance(side.accuracy, weights, side.strata)
        between, noise = between + found, noise + within
        squares = squares + found**2 / max(1, len(side.strata) - len(set(side.strata)))
        drawn = drawn + _sample_variance(side.accuracy, weights, samples)
    # By chance the noise can exceed what it is subtracted from.
    variance = np.maximum(spread + between - noise, spread / 2)
    with np.errstate(invalid="ignore"):
        freedom = np.where(squares > 0, np.maximum(variance**2 / squares, 1), np.inf)
    left = np.maximum(spread - np.nan_to_num(drawn), 0)
    return Difference(apart @ weights, variance, freedom, left, np.maximum(between - noise, 0), drawn)


def holm(p: ArrayLike) -> FloatArray:
    """p-values of one family adjusted so that any false rejection among them has the chance of one (Holm 1979)."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    scaled = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(scaled, 1)
    return adjusted


def _question_variance(values: FloatArray, benchmark: IntArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Variance of the weighted mean of questions drawn within each benchmark, and the sum of its squared terms over
    their degrees of freedom; nan where a benchmark has one question."""
    total, squares = np.zeros(values.shape[:-1]), np.zeros(values.shape[:-1])
    for name in np.unique(benchmark):
        inside = benchmark == name
        size = int(inside.sum())
        if size == 1:
            return np.full_like(total, np.nan), squares
        term = weights[inside].sum() ** 2 * values[..., inside].var(axis=-1, ddof=1) / size
        total, squares = total + term, squares + term**2 / (size - 1)
    return total, squares


def _sample_variance(accuracy: FloatArray, weights: FloatArray, samples: IntArray) -> FloatArray:
    """Variance of the mean that the samples make; nan where questions have one sample. It is without bias for rewards
    of 0 and 1, and the most that it can be for others."""
    with np.errstate(divide="ignore", invalid="ignore"):
        each = np.where(samples > 1, accuracy * (1 - accuracy) / (samples - 1), np.nan)
    return np.asarray((each @ weights**2).sum(axis=0) / len(accuracy) ** 2)
