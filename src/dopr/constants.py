"""The constants of dopr.bounds, measured in this experiment, each with a 95 % bootstrap interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dopr.bounds import coverage, first_visits, measured_informative_share
from dopr.comparison import Comparison
from dopr.records import derive_seed
from dopr.resampling import Curve
from dopr.statistics import FloatArray, even_weights, interval, redraw_weights


@dataclass(frozen=True)
class Measured:
    """A number and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, replicates: FloatArray) -> Measured:
        """From the point estimate and its replicates, shape (replicates,)."""
        low, high = interval(replicates)
        return cls(float(value), float(low), float(high))


def base_coverage(comparison: Comparison, method: str) -> Measured:
    """C of the base policy over the benchmarks' questions, from the first checkpoint of every seed of `method`.

    The samples of all seeds are of one policy, so they are pooled. The interval is over questions.
    """
    evaluation = comparison.evaluations[method]
    correct = evaluation.correct[:, 0].sum(axis=0)
    drawn = evaluation.samples * len(evaluation.seeds)
    point = coverage(correct, drawn, even_weights(evaluation.benchmark))
    return Measured.of(float(point), coverage(correct, drawn, comparison.questions))


def solvable_share(comparison: Comparison, method: str) -> float:
    """Share of the benchmarks' questions that the base policy solved at least once: those behind base_coverage."""
    evaluation = comparison.evaluations[method]
    solved = evaluation.correct[:, 0].sum(axis=0) > 0
    return float(solved @ even_weights(evaluation.benchmark))


def unsharpened(comparison: Comparison, method: str) -> Curve:
    """Share of questions whose sampled accuracy is at most 1/2, at each checkpoint: eps of the sharpening bound.

    With few samples a question it is a noisy reading of "no more than half the policy's mass on a correct answer".
    """
    evaluation = comparison.evaluations[method]
    return comparison.resample(method, (evaluation.sampled <= 0.5).astype(np.float64))


def group_size(ledger: pd.DataFrame) -> int:
    """Rollouts a group of a run, from its ledger: samples are counted from 0 in each group."""
    return int(ledger["sample"].max()) + 1


def spent_per_informative_group(metrics: pd.DataFrame, group: int) -> float:
    """Rollouts a run spent for each group with mixed rewards, over all its training; inf if there was none."""
    groups = metrics["rollouts"].diff().fillna(metrics["rollouts"]) / group
    informative = float((metrics["signal"] * groups).sum())
    return float(metrics["rollouts"].iloc[-1]) / informative if informative else float("inf")


def pool_informative_share(history: Mapping[str, Sequence[float]], drawn: int, group: int, replicates: int) -> Measured:
    """Mean over a pool's prompts of q(p, G), from their first visits in the profile; the interval is over prompts.

    Args:
        history: prompt id -> accuracy of each visit. drawn: rollouts behind each of those accuracies.
        group: G, at most `drawn`.
    """
    shares = measured_informative_share(first_visits(history, drawn), drawn, group)
    weights = redraw_weights(len(shares), replicates, derive_seed("bootstrap", "prompts", group))
    return Measured.of(float(shares.mean()), weights @ shares)
