"""Evaluated checkpoints as arrays: the rewards of each question's completions, by run and checkpoint.

Accuracy is the mean reward of completions. The grader gives 1 for a correct completion and 0 for any other. A reward
function may give any number from 0 to 1; then pass@k and solvable questions count rewards of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dopr.analysis.results import Results
from dopr.analysis.statistics import FloatArray, IntArray
from dopr.files import DataError

FAULTS = ("truncated", "unparsed", "timeout", "error")
SEPARATOR = "\0"  # sorts before every letter, so that joined names sort as pairs do


@dataclass(frozen=True)
class Evaluation:
    """All checkpoints of one method's runs. The first checkpoint is the starting policy.

    Attributes:
        name: Name of the pool, or of the pools that are shown as one.
        method: Name of the method.
        pools, seeds: Pool and seed of each run.
        steps, rollouts: Training steps and rollouts at each checkpoint, `[checkpoints]`.
        tokens: Training tokens at each checkpoint, `[runs, checkpoints]`.
        benchmarks: Sorted names of the benchmarks.
        benchmark: Index into `benchmarks` of each question, `[questions]`.
        questions: Ids of the questions.
        samples: Number of sampled completions of each question, `[checkpoints, questions]`.
        correct: Number of correct sampled completions, `[runs, checkpoints, questions]`.
        earned: Sum of their rewards, of the same shape.
        greedy: Reward of the greedy completion, of the same shape; nan at checkpoints without one.
        faults: For each of FAULTS, the share of sampled completions with it, of the same shape.
    """

    name: str
    method: str
    pools: tuple[str, ...]
    seeds: tuple[int, ...]
    steps: IntArray
    rollouts: FloatArray
    tokens: FloatArray
    benchmarks: tuple[str, ...]
    benchmark: IntArray
    questions: tuple[str, ...]
    samples: IntArray
    correct: IntArray
    earned: FloatArray
    greedy: FloatArray
    faults: dict[str, FloatArray]

    @property
    def runs(self) -> list[str]:
        """Names of the runs: their seeds, with the pool if there are several."""
        one_pool = len(set(self.pools)) == 1
        return [str(seed) if one_pool else f"{pool}/{seed}" for pool, seed in zip(self.pools, self.seeds, strict=True)]

    @property
    def sampled(self) -> FloatArray:
        """Accuracy of sampled completions, `[runs, checkpoints, questions]`."""
        return self.earned / self.samples

    def same_questions(self, other: Evaluation) -> bool:
        """Return whether both have the same questions, with equal numbers of samples at the last checkpoint."""
        return self.questions == other.questions and np.array_equal(self.samples[-1], other.samples[-1])

    def at(self, chosen: IntArray) -> Evaluation:
        """Return the evaluation with one checkpoint of each run. `chosen` has its index, `[runs]`.

        Its steps and rollouts are means over the runs.
        """
        runs = np.arange(len(self.seeds))
        return replace(
            self,
            steps=np.rint(self.steps[chosen].mean(keepdims=True)).astype(np.int64),
            rollouts=self.rollouts[chosen].mean(keepdims=True),
            tokens=self.tokens[runs, chosen][:, None],
            samples=self.samples[chosen[:1]],
            correct=self.correct[runs, chosen][:, None],
            earned=self.earned[runs, chosen][:, None],
            greedy=self.greedy[runs, chosen][:, None],
            faults={fault: values[runs, chosen][:, None] for fault, values in self.faults.items()},
        )


def load_evaluation(results: Results, pool: str, method: str, seeds: Sequence[int]) -> Evaluation:
    """Read the completions of all seeds of a method.

    Raises:
        DataError: A file is missing, its checkpoints do not have the same completions, or the seeds differ in
            checkpoints or questions.
    """
    runs = [_Run.read(results, pool, method, seed) for seed in seeds]
    first = runs[0]
    for seed, run in zip(seeds, runs, strict=True):
        if not first.matches(run):
            raise DataError(
                f"evaluate/{pool}/{method}: seeds {seeds[0]} and {seed} differ in checkpoints, questions or samples; "
                "evaluate both again with one configuration"
            )
    benchmarks, benchmark = np.unique([name for name, _ in first.questions], return_inverse=True)
    return Evaluation(
        pool,
        method,
        (pool,) * len(seeds),
        tuple(seeds),
        first.steps,
        first.rollouts,
        np.stack([run.tokens for run in runs]),
        tuple(map(str, benchmarks)),
        benchmark.astype(np.int64),
        tuple(question for _, question in first.questions),
        first.samples,
        np.stack([run.correct for run in runs]),
        np.stack([run.earned for run in runs]),
        np.stack([run.greedy for run in runs]),
        {name: np.stack([run.faults[name] for run in runs]) for name in FAULTS},
    )


def pooled(name: str, evaluations: Sequence[Evaluation]) -> Evaluation:
    """Join one method's runs on several pools under a common name.

    Raises:
        DataError: They differ in checkpoints, questions or samples.
    """
    first = evaluations[0]
    for other in evaluations:
        if not (first.same_questions(other) and np.array_equal(first.rollouts, other.rollouts)):
            raise DataError(
                f"{first.method}: its runs on {first.name} and {other.name} differ in checkpoints, questions or "
                "samples; evaluate both again with one configuration"
            )
    return replace(
        first,
        name=name,
        pools=tuple(pool for evaluation in evaluations for pool in evaluation.pools),
        seeds=tuple(seed for evaluation in evaluations for seed in evaluation.seeds),
        tokens=np.concatenate([evaluation.tokens for evaluation in evaluations]),
        correct=np.concatenate([evaluation.correct for evaluation in evaluations]),
        earned=np.concatenate([evaluation.earned for evaluation in evaluations]),
        greedy=np.concatenate([evaluation.greedy for evaluation in evaluations]),
        faults={fault: np.concatenate([e.faults[fault] for e in evaluations]) for fault in FAULTS},
    )


@dataclass(frozen=True)
class _Run:
    """One seed's checkpoints. Arrays are `[checkpoints, questions]`."""

    steps: IntArray
    rollouts: FloatArray
    tokens: FloatArray
    questions: tuple[tuple[str, str], ...]  # (benchmark, id), sorted
    samples: IntArray
    correct: IntArray
    earned: FloatArray
    greedy: FloatArray
    faults: dict[str, FloatArray]

    @classmethod
    def read(cls, results: Results, pool: str, method: str, seed: int) -> _Run:
        """Read the completions of one run."""
        frame = results.completions(pool, method, seed)
        name = f"{results.evaluations}/{pool}/{method}/{seed}/completions.parquet"
        steps, first, checkpoint = np.unique(frame["step"], return_index=True, return_inverse=True)
        question, names = pd.factorize(frame["benchmark"] + SEPARATOR + frame["prompt"], sort=True)
        questions = tuple(tuple(text.split(SEPARATOR)) for text in names)
        cells = _Cells((len(steps), len(names)), checkpoint * len(names) + question)
        sampled, greedy = (frame["mode"] == mode for mode in ("sampled", "greedy"))
        verdict = frame["verdict"]
        faults = {"truncated": frame["finish"] == "length", **{fault: verdict == fault for fault in FAULTS[1:]}}
        samples = cells.sums(sampled).astype(np.int64)
        _check_counts(samples, cells.sums(greedy), np.array([benchmark for benchmark, _ in questions]), name)
        has_greedy = np.where(cells.sums(greedy) > 0, 0.0, np.nan)
        return cls(
            steps.astype(np.int64),
            frame["rollouts"].to_numpy(dtype=np.float64)[first],
            frame["tokens"].to_numpy(dtype=np.float64)[first],
            questions,
            samples,
            cells.sums(sampled & (verdict == "correct")).astype(np.int64),
            cells.sums(sampled * frame["reward"]),
            cells.sums(greedy * frame["reward"]) + has_greedy,
            {fault: cells.sums(sampled & found) / samples for fault, found in faults.items()},
        )

    def matches(self, other: _Run) -> bool:
        """Return whether two runs have the same checkpoints, questions and numbers of samples."""
        return (
            self.questions == other.questions
            and np.array_equal(self.samples, other.samples)
            and np.array_equal(self.steps, other.steps)
            and np.array_equal(self.rollouts, other.rollouts)
        )


@dataclass(frozen=True)
class _Cells:
    """The checkpoint and question of each row, as an index into an array of `shape`; groupby is ten times slower."""

    shape: tuple[int, int]
    index: IntArray

    def sums(self, values: pd.Series[Any]) -> FloatArray:
        """Return the sum of a column in each cell."""
        cells = self.shape[0] * self.shape[1]
        sums = np.bincount(self.index, values.to_numpy(dtype=np.float64), cells)
        return np.asarray(sums, dtype=np.float64).reshape(self.shape)


def _check_counts(samples: IntArray, greedy: FloatArray, benchmark: NDArray[np.str_], name: str) -> None:
    """Check that the questions of a benchmark have equally many samples, and all or none a greedy completion."""
    for members in (benchmark == each for each in np.unique(benchmark)):
        fewest, most = samples[:, members].min(axis=1), samples[:, members].max(axis=1)
        if not len(samples) or (fewest < most).any() or (most == 0).any():
            raise DataError(
                f"{name}: not every question of a benchmark has the same number of completions; evaluate again"
            )
        if (greedy[:, members] != greedy[:, members][:, :1]).any():
            raise DataError(f"{name}: greedy and sampled completions are of different questions; evaluate again")
