"""The constants of bounds as measured in this experiment, each with a 95 % bootstrap interval."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dopr.analysis.accuracy_history import groups_of
from dopr.analysis.comparison import Comparison
from dopr.analysis.results import Results
from dopr.analysis.scores import Evaluation
from dopr.analysis.statistics import FloatArray, even_weights, interval, redraw_weights
from dopr.bounds.bound import Bound, Constants
from dopr.bounds.change_of_measure import binary_kl
from dopr.bounds.estimates import coverage, first_visits, measured_informative_share, variance_moments
from dopr.bounds.gradient_error import GradientVariance, of_moments
from dopr.bounds.relative_budget import relative_budget
from dopr.records import derive_seed


@dataclass(frozen=True)
class Measured:
    """A number and its 95 % bootstrap interval."""

    value: float
    low: float
    high: float

    @classmethod
    def of(cls, value: float, replicates: FloatArray) -> Measured:
        """Make it from the point estimate and its replicates, `[replicates]`."""
        low, high = interval(replicates)
        return cls(float(value), float(low), float(high))


@dataclass(frozen=True)
class MeasuredConstants:
    """The constants of bounds and the final accuracy, as estimated and in each bootstrap replicate.

    Attributes:
        point: The estimated constants.
        replicates: The constants in each replicate.
        accuracy: The final accuracy, averaged over seeds.
        accuracies: The final accuracy in each replicate, `[replicates]`.
    """

    point: Constants
    replicates: tuple[Constants, ...]
    accuracy: float
    accuracies: FloatArray

    def curve(self, bound: Bound, accuracy: FloatArray) -> tuple[FloatArray, FloatArray, FloatArray]:
        """Return a bound at some accuracies, and the ends of its interval; all are `[points]`."""
        low, high = interval(np.stack([bound(constants, accuracy) for constants in self.replicates]))
        return bound(self.point, accuracy), low, high

    def reached(self, bound: Bound) -> Measured:
        """Return a bound at the final accuracy, which varies with the constants."""
        pairs = zip(self.replicates, self.accuracies.tolist(), strict=True)
        replicates = np.array([bound(constants, np.array([accuracy]))[0] for constants, accuracy in pairs])
        return Measured.of(bound(self.point, np.array([self.accuracy]))[0], replicates)


def measure(results: Results, comparison: Comparison, method: str, delta: float) -> MeasuredConstants:
    """Measure the constants of a method's runs on one pool.

    Questions and seeds are redrawn as in every other interval. In each replicate, the starting policy's accuracy and C
    are over the same questions.
    """
    curve, evaluation = comparison.curve(method), comparison.evaluations[method]
    settings = results.settings(evaluation.pools[0], method, evaluation.seeds[0])
    kl_weight = settings["recipe"]["loss"]["kl"]
    fixed = {
        "inverse_kl": 1 / kl_weight if kl_weight else float("inf"),
        "delta": delta,
        "prompts": float(len(results.prompts(comparison.pool))),
    }
    coverages = _coverage(comparison, method, comparison.questions).tolist()
    point = _constants(curve.mean[0], curve.mean[-1], base_coverage(comparison, method).value, fixed)
    first, last = curve.replicates[:, 0].tolist(), curve.replicates[:, -1].tolist()
    replicates = tuple(_constants(*measured, fixed) for measured in zip(first, last, coverages, strict=True))
    return MeasuredConstants(point, replicates, float(curve.mean[-1]), curve.replicates[:, -1])


def _constants(base: float, trained: float, starting_coverage: float, fixed: Mapping[str, float]) -> Constants:
    return Constants(base=float(base), coverage=starting_coverage, divergence=float(binary_kl(trained, base)), **fixed)


def base_coverage(comparison: Comparison, method: str) -> Measured:
    """Measure C of the starting policy on the benchmarks, from the first checkpoint of the runs of `method`.

    The runs of a pool share one evaluation of their starting policy, which counts once. Pools with starting policies of
    their own are pooled. The interval is over questions.
    """
    weights = even_weights(comparison.evaluations[method].benchmark)
    replicates = _coverage(comparison, method, comparison.questions)
    return Measured.of(float(_coverage(comparison, method, weights)), replicates)


def _coverage(comparison: Comparison, method: str, weights: FloatArray) -> FloatArray:
    correct, drawn = _starting_counts(comparison.evaluations[method])
    return coverage(correct, drawn, weights)


def _starting_counts(evaluation: Evaluation) -> tuple[FloatArray, FloatArray]:
    """Return how many samples of the starting policies are correct, and of how many, `[questions]` each."""
    runs = [evaluation.pools.index(pool) for pool in dict.fromkeys(evaluation.pools)]
    return evaluation.correct[runs, 0].sum(axis=0), evaluation.samples[0] * len(runs)


def solvable_share(comparison: Comparison, method: str) -> float:
    """Return the share of questions that the starting policy solved at least once, which base_coverage is over."""
    evaluation = comparison.evaluations[method]
    return float((_starting_counts(evaluation)[0] > 0) @ even_weights(evaluation.benchmark))


def base_budget(results: Results, comparison: Comparison, method: str) -> Measured:
    """Measure xi of the starting policy on the benchmarks: the token limit of training divided by E[T].

    T is the number of tokens until the first correct solution. We assume that a new completion follows a wrong one. So
    E[T] = mean tokens of a completion / share of correct ones (Wald). With completions cut off at the limit, that holds
    for any distribution. The interval is over questions.
    """
    evaluation = comparison.evaluations[method]
    runs = zip(evaluation.pools, evaluation.seeds, strict=True)
    frames = [results.texts(pool, method, seed, 0) for pool, seed in runs]
    tokens = pd.concat(frames).groupby(["benchmark", "prompt"])["completion_tokens"].mean().to_numpy(dtype=np.float64)
    rates = (evaluation.correct[:, 0] / evaluation.samples[0]).mean(axis=0)
    settings = results.settings(evaluation.pools[0], method, evaluation.seeds[0])
    horizon = settings["rollout"]["max_new_tokens"]

    def xi(weights: FloatArray) -> float:
        solved = float(weights @ rates)
        return relative_budget(horizon, float(weights @ tokens) / solved) if solved else 0.0

    replicates = np.array([xi(weights) for weights in comparison.questions])
    return Measured.of(xi(even_weights(evaluation.benchmark)), replicates)


def group_size(ledger: pd.DataFrame) -> int:
    """Return the group size of a run from its ledger, which numbers the samples of each group from 0."""
    return int(ledger["sample"].max()) + 1


def spent_per_informative_group(ledger: pd.DataFrame) -> float:
    """Return the rollouts of a run divided by its complete informative groups; inf if there was none."""
    groups = groups_of(ledger["prompt"], ledger["sample"], ledger["reward"])
    size = group_size(ledger)
    informative = sum(len(rewards) == size and len(set(rewards)) > 1 for _, rewards in groups)
    return len(ledger) / informative if informative else float("inf")


def pool_informative_share(history: Mapping[str, Sequence[float]], drawn: int, group: int, replicates: int) -> Measured:
    """Measure the mean over a pool's prompts of q(p, G) from first visits in the profile. The interval is over prompts.

    Args:
        history: Prompt id -> accuracy of each visit.
        drawn: Rollouts of each visit.
        group: G, at most `drawn`.
        replicates: Number of bootstrap replicates.
    """
    shares = measured_informative_share(first_visits(history, drawn), drawn, group)
    weights = redraw_weights(len(shares), replicates, derive_seed("bootstrap", "prompts", group))
    return Measured.of(float(shares.mean()), weights @ shares)


def pool_gradient(
    history: Mapping[str, Sequence[float]], drawn: int, replicates: int
) -> tuple[tuple[float, GradientVariance], list[tuple[float, GradientVariance]]]:
    """Measure mean and variance of the gradient along the success logit over a pool, from first visits.

    Arguments are as in pool_informative_share.

    Returns:
        The estimate, and its bootstrap replicates over prompts.

    Raises:
        UserError: The profile's groups have fewer than four rollouts.
    """
    first, second = variance_moments(first_visits(history, drawn), drawn)
    weights = redraw_weights(len(first), replicates, derive_seed("bootstrap", "prompts", "gradient"))
    pairs = zip((weights @ first).tolist(), (weights @ second).tolist(), strict=True)
    return of_moments(float(first.mean()), float(second.mean())), [of_moments(*pair) for pair in pairs]
