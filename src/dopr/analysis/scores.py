"""Evaluated checkpoints as arrays: the rewards of each question's completions, by run and checkpoint.

Accuracy is the mean reward of completions. The grader gives 1 for a correct completion and 0 for any other. A reward
function may give any number from 0 to 1; then pass@k and solvable questions count rewards of 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from dopr.analysis.results import Results
from dopr.analysis.statistics import FloatArray, IntArray
from dopr.files import DataError

FAULTS = ("truncated", "unparsed", "timeout", "error")


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
        samples: Number of sampled completions of each question, `[questions]`.
        correct: Number of correct sampled completions, `[runs, checkpoints, questions]`.
        earned: Sum of their rewards, of the same shape.
        greedy: Reward of the greedy completion, of the same shape.
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
        """Return whether both have the same questions with equal numbers of samples."""
        return self.questions == other.questions and np.array_equal(self.samples, other.samples)

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
    benchmarks, benchmark = np.unique(first.correct.columns.get_level_values(0), return_inverse=True)
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
        tuple(map(str, first.correct.columns.get_level_values(1))),
        first.samples,
        np.stack([run.correct.to_numpy(dtype=np.int64) for run in runs]),
        np.stack([run.earned.to_numpy(dtype=np.float64) for run in runs]),
        np.stack([run.greedy.to_numpy(dtype=np.float64) for run in runs]),
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
    """One seed's checkpoints. Frames have checkpoints as rows and (benchmark, question) as columns."""

    steps: IntArray
    rollouts: FloatArray
    tokens: FloatArray
    samples: IntArray
    correct: pd.DataFrame
    earned: pd.DataFrame
    greedy: pd.DataFrame
    faults: dict[str, FloatArray]

    @classmethod
    def read(cls, results: Results, pool: str, method: str, seed: int) -> _Run:
        frame = results.completions(pool, method, seed)
        name = f"evaluate/{pool}/{method}/{seed}/completions.parquet"
        frame["correct"] = (frame["verdict"] == "correct").astype(np.int64)
        frame["truncated"] = (frame["finish"] == "length").astype(np.int64)
        for fault in FAULTS[1:]:
            frame[fault] = (frame["verdict"] == fault).astype(np.int64)
        greedy, _ = _sums(frame[frame["mode"] == "greedy"], ["reward"], name)
        sampled, samples = _sums(frame[frame["mode"] == "sampled"], ["correct", "reward", *FAULTS], name)
        if not greedy["reward"].columns.equals(sampled["reward"].columns):
            raise DataError(f"{name}: greedy and sampled completions are of different questions; evaluate again")
        costs = frame.groupby("step")[["rollouts", "tokens"]].first()
        return cls(
            costs.index.to_numpy(dtype=np.int64),
            costs["rollouts"].to_numpy(dtype=np.float64),
            costs["tokens"].to_numpy(dtype=np.float64),
            samples,
            sampled["correct"],
            sampled["reward"],
            greedy["reward"],
            {fault: sampled[fault].to_numpy(dtype=np.float64) / samples for fault in FAULTS},
        )

    def matches(self, other: _Run) -> bool:
        """Return whether two runs have the same checkpoints, questions and numbers of samples."""
        return (
            np.array_equal(self.samples, other.samples)
            and np.array_equal(self.steps, other.steps)
            and np.array_equal(self.rollouts, other.rollouts)
            and self.correct.columns.equals(other.correct.columns)
        )


def _sums(frame: pd.DataFrame, columns: list[str], name: str) -> tuple[dict[str, pd.DataFrame], IntArray]:
    """Return sums of columns by checkpoint and question, and the number of completions of each question."""
    groups = frame.groupby(["step", "benchmark", "prompt"])[columns]
    sizes = groups.size().unstack("step")
    by_benchmark = sizes.groupby(level="benchmark")
    if (
        sizes.empty
        or sizes.isna().to_numpy().any()
        or (by_benchmark.min().min(axis=1) < by_benchmark.max().max(axis=1)).any()
    ):
        raise DataError(f"{name}: not every checkpoint has the same number of completions a question; evaluate again")
    sums = groups.sum()
    counts = sizes.iloc[:, 0].to_numpy(dtype=np.int64)
    return {column: sums[column].unstack("step").T for column in columns}, counts
