"""The difference of two methods on the same questions: variance by cause, interval, p-value, and resolution.

The resolution is the smallest difference that such an experiment detects. With the accuracy y of seed s on question q,
the difference of two means over seeds and questions varies for three causes:

    questions  another benchmark of this kind has others: the variance of the questions' own differences / questions
    seeds      another run learns something else: the variance of the seeds' means / seeds, in either method
    samples    another evaluation draws others: p (1 - p) / samples, of every question and seed

The noise of the samples is in a question's difference, which is a mean over seeds, and also in a seed's mean. So the
variances of both are added, and that noise, the residual of questions x seeds, is subtracted once. This is an analysis
of variance with two random factors. The interval is Student's t, with degrees of freedom by Satterthwaite (1946). It
holds for new questions of the same kind, not only for these. docs/evaluation.md has its coverage.

With one run of each method, nothing is known of the seeds: then the interval holds for these two runs only.
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
    """Method minus reference, with its variance. All arrays have the same shape, such as `[checkpoints]`.

    Attributes:
        value: The difference.
        variance, freedom: Its variance, and the degrees of freedom of that estimate.
        questions, seeds, samples: Parts of the variance by cause, as far as they can be estimated. `samples` is nan
            with one sample of each question.
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
        """Two-sided p-value of no difference; 1 where both methods are equal on every question and seed."""
        with np.errstate(divide="ignore", invalid="ignore"):
            statistic = np.abs(self.value) / np.sqrt(self.variance)
        return np.where(self.value == 0, 1.0, 2 * stdtr(self.freedom, -statistic))

    @property
    def resolved(self) -> FloatArray:
        """The smallest true difference that such an experiment detects at the 5 % level with a power of 80 %."""
        quantiles = stdtrit(self.freedom, (1 + LEVEL) / 2) + stdtrit(self.freedom, POWER)
        return np.asarray(quantiles * np.sqrt(self.variance))


@dataclass(frozen=True)
class Runs:
    """One method's runs on some questions: accuracy, `[seeds, ..., questions]`, and the pool of each run."""

    accuracy: FloatArray
    strata: Strata


def difference(
    method: Runs, reference: Runs, benchmark: IntArray, weights: FloatArray, samples: IntArray
) -> Difference:
    """Compare two methods on the same questions.

    Args:
        method, reference: The runs to compare.
        benchmark: The benchmark of each question, as an integer, `[questions]`.
        weights: The weight of each question in the mean, `[questions]`.
        samples: The number of samples of each question, `[questions]`.
    """
    differences = method.accuracy.mean(axis=0) - reference.accuracy.mean(axis=0)
    by_questions, squares = _question_variance(differences, benchmark, weights)
    by_seeds, noise, by_samples = np.zeros_like(by_questions), np.zeros_like(by_questions), np.zeros_like(by_questions)
    for side in (method, reference):
        side_variance, side_noise = seed_variance(side.accuracy, weights, side.strata)
        by_seeds, noise = by_seeds + side_variance, noise + side_noise
        squares = squares + side_variance**2 / max(1, len(side.strata) - len(set(side.strata)))
        by_samples = by_samples + _sample_variance(side.accuracy, weights, samples)
    # By chance the noise can exceed what it is subtracted from.
    variance = np.maximum(by_questions + by_seeds - noise, by_questions / 2)
    with np.errstate(invalid="ignore"):
        freedom = np.where(squares > 0, np.maximum(variance**2 / squares, 1), np.inf)
    without_samples = np.maximum(by_questions - np.nan_to_num(by_samples), 0)
    return Difference(
        differences @ weights, variance, freedom, without_samples, np.maximum(by_seeds - noise, 0), by_samples
    )


def holm(p: ArrayLike) -> FloatArray:
    """Adjust the p-values of one family for multiple tests, which bounds the family-wise error rate (Holm 1979)."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values, kind="stable")
    scaled = np.maximum.accumulate(values[order] * np.arange(len(values), 0, -1))
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(scaled, 1)
    return adjusted


def _question_variance(values: FloatArray, benchmark: IntArray, weights: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Estimate the variance of the weighted mean of questions drawn within each benchmark.

    The second result is the sum of its squared terms over their degrees of freedom, for Satterthwaite's formula. The
    variance is nan if a benchmark has one question.
    """
    total, squares = np.zeros(values.shape[:-1]), np.zeros(values.shape[:-1])
    for name in np.unique(benchmark):
        mask = benchmark == name
        size = int(mask.sum())
        if size == 1:
            return np.full_like(total, np.nan), squares
        term = weights[mask].sum() ** 2 * values[..., mask].var(axis=-1, ddof=1) / size
        total, squares = total + term, squares + term**2 / (size - 1)
    return total, squares


def _sample_variance(accuracy: FloatArray, weights: FloatArray, samples: IntArray) -> FloatArray:
    """Estimate the variance of the mean from samples; nan where questions have one sample.

    It is unbiased for rewards of 0 and 1, and an upper limit for others.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        by_question = np.where(samples > 1, accuracy * (1 - accuracy) / (samples - 1), np.nan)
    return np.asarray((by_question @ weights**2).sum(axis=0) / len(accuracy) ** 2)
