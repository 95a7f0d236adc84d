"""Every method of one pool (or of several, shown as one), resampled together.

A replicate has the same questions for all methods; deviations of the seeds are drawn for each method on its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from dopr.analysis.bootstrap import Curve, resampled_curve, seed_deviations
from dopr.analysis.results import Results
from dopr.analysis.scores import Evaluation, load_evaluation, pooled
from dopr.analysis.statistics import FloatArray, IntArray, even_weights, question_weights
from dopr.config.schema import Config
from dopr.files import DataError
from dopr.records import derive_seed


@dataclass(frozen=True)
class Comparison:
    """Evaluations by method, and the question weights of each bootstrap replicate, shape (replicates, questions)."""

    pool: str
    evaluations: dict[str, Evaluation]
    questions: FloatArray

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Names of the benchmarks, sorted; the same for every method."""
        return next(iter(self.evaluations.values())).benchmarks

    def only(self, methods: Sequence[str]) -> Comparison:
        """The same comparison of some of its methods."""
        return replace(self, evaluations={method: self.evaluations[method] for method in methods})

    def at(self, chosen: Mapping[str, IntArray]) -> Comparison:
        """The same with one checkpoint, by method the place of each run's."""
        return replace(self, evaluations={m: self.evaluations[m].at(places) for m, places in chosen.items()})

    def curve(self, method: str, benchmarks: Sequence[str] | None = None, greedy: bool = False) -> Curve:
        """Sampled (or greedy) accuracy of a method: the mean over benchmarks (all, or those named) of their means.

        Raises:
            DataError: a named benchmark was not evaluated.
        """
        evaluation = self.evaluations[method]
        return self.resample(method, evaluation.greedy if greedy else evaluation.sampled, benchmarks)

    def resample(self, method: str, values: FloatArray, benchmarks: Sequence[str] | None = None) -> Curve:
        """The same for any number a question has at a checkpoint: values of shape (seeds, checkpoints, questions)."""
        evaluation = self.evaluations[method]
        chosen = self._members(evaluation, benchmarks)
        redrawn = self.questions[:, chosen]
        drawn = derive_seed("bootstrap", "seeds", self.pool, method)
        return resampled_curve(
            evaluation.rollouts,
            values[:, :, chosen],
            even_weights(evaluation.benchmark[chosen]),
            # Each benchmark has the same share of a row, so this leaves them equal among the chosen ones.
            redrawn / redrawn.sum(axis=1, keepdims=True),
            seed_deviations(evaluation.pools, len(redrawn), drawn),
            evaluation.pools,
        )

    def _members(self, evaluation: Evaluation, benchmarks: Sequence[str] | None) -> NDArray[np.bool_]:
        names = evaluation.benchmarks if benchmarks is None else benchmarks
        for name in names:
            if name not in evaluation.benchmarks:
                raise DataError(f"benchmark {name!r} was not evaluated; known are {', '.join(evaluation.benchmarks)}")
        return np.isin(evaluation.benchmark, [evaluation.benchmarks.index(name) for name in names])


def compare_pools(results: Results, config: Config) -> list[Comparison]:
    """Load an experiment's comparison, one a pool; see `compare`."""
    replicates = config.evaluate.bootstrap
    return [compare(results, pool, config.methods, config.seeds, replicates) for pool in config.pools]


def compare_panels(results: Results, config: Config) -> list[Comparison]:
    """Load the comparison by reuse and selection, one a panel of pools that repeat one experiment; see `compare`."""
    return [
        compare(results, name, config.methods, config.seeds, config.evaluate.bootstrap, pools)
        for name, pools in config.ratio.panels.items()
    ]


def compare(
    results: Results,
    pool: str,
    methods: Sequence[str],
    seeds: Sequence[int],
    replicates: int,
    members: Sequence[str] = (),
) -> Comparison:
    """Load the runs of some methods on a pool and draw the questions of each replicate.

    members: the pools that are shown as one under the name `pool`; none: it is a pool itself. The interval then holds
    for these pools and their starting policies: they are not redrawn.

    Raises:
        DataError: a run is missing or damaged, or the methods were not evaluated on the same questions.
    """
    evaluations = {
        method: pooled(pool, [load_evaluation(results, member, method, seeds) for member in members or [pool]])
        for method in methods
    }
    first = evaluations[methods[0]]
    for method, evaluation in evaluations.items():
        if not first.asks_the_same(evaluation):
            raise DataError(
                f"evaluate/{pool}: {methods[0]} and {method} were not evaluated on the same questions with as many "
                "samples; evaluate both again with one configuration"
            )
    weights = question_weights(first.benchmark, replicates, derive_seed("bootstrap", "questions", pool))
    return Comparison(pool, evaluations, weights)
