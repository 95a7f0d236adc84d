"""All methods of one pool, or of several pools shown as one, with common bootstrap replicates.

A replicate has the same questions for all methods. The deviations of the seeds are drawn for each method on its own.
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
    """Evaluations by method, and the question weights of each bootstrap replicate.

    Attributes:
        pool: Name of the pool, or of the pools that are shown as one.
        evaluations: Method -> its evaluated runs.
        questions: Question weights, `[replicates, questions]`.
    """

    pool: str
    evaluations: dict[str, Evaluation]
    questions: FloatArray

    @property
    def benchmarks(self) -> tuple[str, ...]:
        """Sorted names of the benchmarks. They are the same for every method."""
        return next(iter(self.evaluations.values())).benchmarks

    def only(self, methods: Sequence[str]) -> Comparison:
        """Return the comparison of some of its methods."""
        return replace(self, evaluations={method: self.evaluations[method] for method in methods})

    def at(self, chosen: Mapping[str, IntArray]) -> Comparison:
        """Return the comparison with one checkpoint of each run. `chosen` has their indices by method, `[runs]`."""
        evaluations = {method: self.evaluations[method].at(indices) for method, indices in chosen.items()}
        return replace(self, evaluations=evaluations)

    def curve(self, method: str, benchmarks: Sequence[str] | None = None, greedy: bool = False) -> Curve:
        """Return a method's sampled or greedy accuracy at each checkpoint, averaged over benchmarks.

        Args:
            method: The method.
            benchmarks: Names of benchmarks. None is all.
            greedy: Use the greedy completions instead of the sampled ones.

        Raises:
            DataError: A named benchmark was not evaluated.
        """
        evaluation = self.evaluations[method]
        accuracy = evaluation.greedy if greedy else evaluation.sampled
        mask = self._question_mask(evaluation, benchmarks)
        weights = self.questions[:, mask]
        seed = derive_seed("bootstrap", "seeds", self.pool, method)
        return resampled_curve(
            evaluation.rollouts,
            accuracy[:, :, mask],
            even_weights(evaluation.benchmark[mask]),
            # Every benchmark has the same share of a row, so the named benchmarks keep equal weights.
            weights / weights.sum(axis=1, keepdims=True),
            seed_deviations(evaluation.pools, len(weights), seed),
            evaluation.pools,
        )

    def _question_mask(self, evaluation: Evaluation, benchmarks: Sequence[str] | None) -> NDArray[np.bool_]:
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

    Args:
        results: The results folder.
        pool: The pool, or the name under which `members` are shown.
        methods: The methods to compare.
        seeds: The seeds of their runs.
        replicates: Number of bootstrap replicates.
        members: Pools that are shown as one. Intervals hold for these pools and their starting policies, which are not
            redrawn. Empty: `pool` is a pool itself.

    Raises:
        DataError: A run is missing or damaged, or the methods were not evaluated on the same questions.
    """
    evaluations = {
        method: pooled(pool, [load_evaluation(results, member, method, seeds) for member in members or [pool]])
        for method in methods
    }
    first = evaluations[methods[0]]
    for method, evaluation in evaluations.items():
        if not first.same_questions(evaluation):
            raise DataError(
                f"evaluate/{pool}: {methods[0]} and {method} were not evaluated on the same questions with as many "
                "samples; evaluate both again with one configuration"
            )
    weights = question_weights(first.benchmark, replicates, derive_seed("bootstrap", "questions", pool))
    return Comparison(pool, evaluations, weights)
