"""The coverage of intervals, by simulation: how often they contain the true value.

Every question has a difficulty and every seed a skill. Both are normal on the log-odds scale, and k samples are drawn
for each pair. Another experiment draws all of them anew. A 95 % interval should contain the expected accuracy, or the
expected difference of two methods on the same questions, in 95 % of the experiments.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dopr.analysis.bootstrap import resampled_curve, seed_deviations
from dopr.analysis.difference import Runs, difference
from dopr.analysis.statistics import FloatArray, even_weights, interval, question_weights, redraw_weights
from dopr.records import derive_seed


@dataclass(frozen=True)
class Case:
    """A simulated experiment.

    Attributes:
        name: Its name in the table.
        seeds: Seeds of each method.
        questions: Number of questions of each benchmark.
        samples: Samples of each question.
        spread: Standard deviation of the questions' difficulty, in log-odds.
        change: Standard deviation of a method's effect on single questions, in log-odds.
        seed_spread: Standard deviation of the seeds' skill, in log-odds.
    """

    name: str
    seeds: int
    questions: tuple[int, ...]
    samples: int
    spread: float
    change: float
    seed_spread: float


CASES = (
    Case("embedded: 8 x 32 questions, 4 samples, 3 seeds", 3, (32,) * 8, 4, 1.0, 0.5, 0.1),
    Case("the same, 5 seeds", 5, (32,) * 8, 4, 1.0, 0.5, 0.1),
    Case("the same, seeds that differ much", 3, (32,) * 8, 4, 1.0, 0.5, 0.5),
    Case("the same, seeds that differ not at all", 3, (32,) * 8, 4, 1.0, 0.5, 0.0),
    Case("MATH500, greedy, 3 seeds", 3, (500,), 1, 2.0, 0.7, 0.1),
    Case("AIME: 30 questions, 32 samples, 3 seeds", 3, (30,), 32, 2.0, 0.7, 0.1),
    Case("AIME: 30 questions, 8 samples, 5 seeds", 5, (30,), 8, 2.0, 0.7, 0.1),
    Case("six benchmarks, 8 samples, 3 seeds", 3, (500, 30, 40, 272, 675, 30), 8, 2.0, 0.7, 0.1),
    Case("10 questions, 4 samples, 3 seeds", 3, (10,), 4, 1.0, 0.5, 0.1),
)


@dataclass(frozen=True)
class CoverageResult:
    """Shares of experiments whose interval contains the true value.

    Attributes:
        accuracy, saved: Of one method's accuracy and of the difference of two, with the replicates of curves and saving
            ratios.
        difference: Of the difference with Student's t, as in the table of differences.
        redrawn_accuracy, redrawn_difference: Of both with the plain bootstrap, which also redraws seeds.
    """

    accuracy: float
    saved: float
    difference: float
    redrawn_accuracy: float
    redrawn_difference: float


def coverage(case: Case, experiments: int = 1000, replicates: int = 1000, seed: int = 0) -> CoverageResult:
    """Simulate a case. The arrays have experiments where curves have checkpoints, so one call resamples all."""
    benchmark = np.repeat(np.arange(len(case.questions)), case.questions)
    rng = np.random.default_rng(derive_seed("coverage", case.name, seed))
    weights = even_weights(benchmark)
    questions = question_weights(benchmark, replicates, derive_seed("coverage", "questions", seed))
    ease, strata = rng.normal(0, case.spread, (experiments, len(benchmark))), ("",) * case.seeds
    methods = [_runs(case, ease, rng) for _ in range(2)]
    ours, plain = [], []
    for method, runs in enumerate(methods):
        method_seed = derive_seed("coverage", "seeds", method, seed)
        deviations = seed_deviations(strata, replicates, method_seed)
        ours.append(resampled_curve(np.zeros(experiments), runs, weights, questions, deviations, strata).replicates)
        seed_weights = redraw_weights(case.seeds, replicates, method_seed)
        experiment_runs = runs.swapaxes(0, 1)
        plain.append(np.stack([(seed_weights * (questions @ each.T)).sum(axis=1) for each in experiment_runs], axis=1))
    samples = np.full(len(benchmark), case.samples)
    low, high = difference(Runs(methods[1], strata), Runs(methods[0], strata), benchmark, weights, samples).interval
    truth = 0.5  # the log-odds are symmetric around 0
    return CoverageResult(
        _coverage(ours[0], truth),
        _coverage(ours[1] - ours[0], 0.0),
        float(((low <= 0) & (high >= 0)).mean()),
        _coverage(plain[0], truth),
        _coverage(plain[1] - plain[0], 0.0),
    )


def _runs(case: Case, ease: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Simulate one method's accuracy on each question, `[seeds, experiments, questions]`."""
    method_ease = ease + rng.normal(0, case.change, ease.shape)
    skill = rng.normal(0, case.seed_spread, (case.seeds, len(ease), 1))
    return rng.binomial(case.samples, 1 / (1 + np.exp(-method_ease - skill))) / case.samples


def _coverage(replicates: FloatArray, truth: float) -> float:
    low, high = interval(replicates)
    return float(((low <= truth) & (truth <= high)).mean())
