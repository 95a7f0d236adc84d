"""The bounds table: each bound at the constants measured in this experiment, beside what was really spent."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dopr.bounds import class_size, rollouts_per_informative_group, rollouts_to_distinguish, sharpening_rollouts
from dopr.comparison import Comparison
from dopr.constants import (
    Measured,
    base_coverage,
    group_size,
    pool_informative_share,
    solvable_share,
    spent_per_informative_group,
    unsharpened,
)
from dopr.labels import label
from dopr.results import Results
from dopr.tables.cells import decimal
from dopr.tables.typeset import Table

HEADER = ["pool", "method", "lower bound", "constants", "rollouts at least", "95 % interval", "spent"]


@dataclass(frozen=True)
class _Row:
    """A bound in rollouts, the constants in it, and the rollouts spent on the same thing."""

    bound: str
    constants: str
    least: Measured
    spent: float


def bounds_table(
    results: Results, comparisons: Sequence[Comparison], dimensions: Sequence[float], delta: float
) -> Table:
    """One row a pool, method and bound; dopr.bounds says what each assumes.

    Args:
        dimensions: d of the sharpening bound's class, which cannot be measured. delta: error of the test.
    """
    records, texts = [], []
    for comparison in comparisons:
        for method in comparison.evaluations:
            for row in _rows(results, comparison, method, dimensions, delta):
                names = {"pool": comparison.pool, "method": method, "bound": row.bound, "constants": row.constants}
                least = row.least
                records.append(
                    {**names, "least": least.value, "low": least.low, "high": least.high, "spent": row.spent}
                )
                numbers = [decimal(least.value), f"[{decimal(least.low)}, {decimal(least.high)}]", decimal(row.spent)]
                texts.append([comparison.pool, label(method), row.bound, row.constants, *numbers])
    return Table(pd.DataFrame(records), HEADER, texts, left=4)


def _rows(
    results: Results, comparison: Comparison, method: str, dimensions: Sequence[float], delta: float
) -> list[_Row]:
    sharpened = [_sharpen(comparison, method, dimension) for dimension in dimensions]
    return [_distinguish(comparison, method, delta), *sharpened, _inform(results, comparison, method)]


def _distinguish(comparison: Comparison, method: str, delta: float) -> _Row:
    curve = comparison.curve(method)
    base, trained = curve.mean[0], curve.mean[-1]
    pairs = zip(curve.replicates[:, 0].tolist(), curve.replicates[:, -1].tolist(), strict=True)
    replicates = np.array([rollouts_to_distinguish(p0, p1, delta) for p0, p1 in pairs])
    least = Measured.of(rollouts_to_distinguish(base, trained, delta), replicates)
    constants = f"base {base:.3f}, trained {trained:.3f}, delta {delta:g}"
    return _Row("change of measure", constants, least, float(curve.rollouts[-1]))


def _sharpen(comparison: Comparison, method: str, dimension: float) -> _Row:
    """Rollouts to sharpen as many questions as were sharpened in the end; bounds of C and eps are combined."""
    cover, curve = base_coverage(comparison, method), unsharpened(comparison, method)
    epsilon = Measured.of(float(curve.mean[-1]), curve.replicates[:, -1])

    def least(coverage: float, share: float) -> float:
        # A base that solves nothing has no measured C. With no question left unsharpened the bound is infinite: nothing
        # finite sharpens all of a worst-case class.
        if not np.isfinite(coverage):
            return float("nan")
        share = min(share, 1.0)  # a mean of ones can round to more
        return sharpening_rollouts(coverage, class_size(dimension, coverage, share), share) if share else float("inf")

    found = Measured(least(cover.value, epsilon.value), least(cover.low, epsilon.high), least(cover.high, epsilon.low))
    solvable = 100 * solvable_share(comparison, method)
    constants = f"C {cover.value:.2f} ({solvable:.0f} % solvable), eps {epsilon.value:.3f}, d {dimension:g}, c 1"
    return _Row("sharpening, worst case", constants, found, float(curve.rollouts[-1]))


def _inform(results: Results, comparison: Comparison, method: str) -> _Row:
    """Rollouts for one group with signal when the pool is sampled uniformly, from the profile's first visits."""
    pool, seeds = comparison.pool, comparison.evaluations[method].seeds
    drawn = group_size(results.profile_ledger(pool))
    group = min(drawn, group_size(results.ledger(pool, method, seeds[0])))
    share = pool_informative_share(results.history(pool), drawn, group, len(comparison.questions))
    values = (rollouts_per_informative_group(each, group) for each in (share.value, share.high, share.low))
    spent = [spent_per_informative_group(results.metrics(pool, method, seed), group) for seed in seeds]
    return _Row("one informative group", f"q {share.value:.3f}, G {group}", Measured(*values), float(np.mean(spent)))
