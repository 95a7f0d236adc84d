"""How often intervals hold the truth, by simulation.

Every question has a difficulty, every seed a skill, both normal on the log-odds scale, and k samples are drawn for
each. Another experiment draws all of them anew. An interval that says 95 % should hold the expected accuracy, or the
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
    """An experiment: seeds a method, questions of each benchmark, samples a question, and standard deviations in
    log-odds of questions, of a method's change to single questions, and of seeds."""

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
    """Shares of experiments whose interval holds the truth.

    accuracy, saved: of one method's accuracy and of the difference of two, by the replicates that curves and savings
    have. difference: by Student's t, which the table of differences has. redrawn_accuracy, redrawn_difference: by the
    plain bootstrap, which redraws seeds too.
    """

    accuracy: float
    saved: float
    difference: float
    redrawn_accuracy: float
    redrawn_difference: float


def coverage(case: Case, experiments: int = 1000, replicates: int = 1000, seed: int = 0) -> CoverageResult:
    """Simulate a case. Experiments take the place of checkpoints: they are resampled together."""
    benchmark = np.repeat(np.arange(len(case.questions)), case.questions)
    rng = np.random.default_rng(derive_seed("coverage", case.name, seed))
    weights = even_weights(benchmark)
    questions = question_weights(benchmark, replicates, derive_seed("coverage", "questions", seed))
    ease, strata = rng.normal(0, case.spread, (experiments, len(benchmark))), ("",) * case.seeds
    sides = [_runs(case, ease, rng) for _ in range(2)]
    shown, redrawn = [], []
    for method, runs in enumerate(sides):
        drawn = derive_seed("coverage", "seeds", method, seed)
        deviations = seed_deviations(strata, replicates, drawn)
        shown.append(resampled_curve(np.zeros(experiments), runs, weights, questions, deviations, strata).replicates)
        again = redraw_weights(case.seeds, replicates, drawn)
        redrawn.append(np.stack([(again * (questions @ each.T)).sum(axis=1) for each in runs.swapaxes(0, 1)], axis=1))
    samples = np.full(len(benchmark), case.samples)
    low, high = difference(Runs(sides[1], strata), Runs(sides[0], strata), benchmark, weights, samples).interval
    truth = 0.5  # the log-odds are symmetric around 0
    return CoverageResult(
        _inside(shown[0], truth),
        _inside(shown[1] - shown[0], 0.0),
        float(((low <= 0) & (high >= 0)).mean()),
        _inside(redrawn[0], truth),
        _inside(redrawn[1] - redrawn[0], 0.0),
    )


def _runs(case: Case, ease: FloatArray, rng: np.random.Generator) -> FloatArray:
    """Accuracy of each question, shape (seeds, experiments, questions), of one method."""
    own = ease + rng.normal(0, case.change, ease.shape)
    skill = rng.normal(0, case.seed_spread, (case.seeds, len(ease), 1))
    return rng.binomial(case.samples, 1 / (1 + np.exp(-own - skill))) / case.samples


def _inside(replicates: FloatArray, truth: float) -> float:
    low, high = interval(replicates)
    return float(((low <= truth) & (truth <= high)).mean())
