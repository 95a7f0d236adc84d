"""The bounds table: each bound at the constants measured in this experiment, beside the rollouts spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.display_names import display_name
from dopr.analysis.results import Results
from dopr.bounds.bound import Bound
from dopr.bounds.estimates import FEWEST
from dopr.bounds.gradient_error import best_group, rollouts_for_error
from dopr.bounds.measured_constants import (
    Measured,
    base_budget,
    group_size,
    measure,
    pool_gradient,
    pool_informative_share,
    solvable_share,
    spent_per_informative_group,
)
from dopr.bounds.relative_budget import BEST, regime
from dopr.bounds.signal_share import rollouts_per_informative_group
from dopr.tables.cells import NONE, decimal
from dopr.tables.typeset import Table

HEADER = ["pool", "method", "bound", "constants", "counts", "95 % interval", "spent", "reading"]
EXPECTED = "expected at the start of uniform sampling"


@dataclass(frozen=True)
class _Row:
    """A bound's rollouts, its constants, and the rollouts spent; `reading` interprets them (default: reading())."""

    bound: str
    constants: str
    count: Measured
    spent: float
    reading: str = ""

    @property
    def cells(self) -> list[str]:
        """Return the row as text."""
        count, spent = self.count, NONE if math.isnan(self.spent) else decimal(self.spent)
        ends = NONE if math.isnan(count.low) else f"[{decimal(count.low)}, {decimal(count.high)}]"
        value = NONE if math.isnan(count.value) else decimal(count.value)
        return [self.bound, self.constants, value, ends, spent, self.reading or reading(count.value, self.spent)]


def reading(count: float, spent: float) -> str:
    """Return what a lower bound on rollouts says, given the rollouts spent."""
    if math.isnan(count):
        return "does not apply here"
    if count == 0:
        return "vacuous: excludes nothing"
    if count > spent:
        return "above what was spent"
    return f"holds, {spent / count:,.1f} times below what was spent"


def bounds_table(results: Results, comparisons: Sequence[Comparison], bounds: Sequence[Bound], delta: float) -> Table:
    """Return one row per pool, method and bound; the modules of dopr.bounds document the assumptions.

    Args:
        bounds: lower bounds in rollouts.
        delta: error probability of a test.
    """
    records, texts = [], []
    for comparison in comparisons:
        for method in comparison.evaluations:
            for row in _rows(results, comparison, method, bounds, delta):
                names = {"pool": comparison.pool, "method": method, "bound": row.bound, "constants": row.constants}
                count = {"count": row.count.value, "low": row.count.low, "high": row.count.high, "spent": row.spent}
                records.append({**names, **count, "reading": row.cells[-1]})
                texts.append([comparison.pool, display_name(method), *row.cells])
    return Table(pd.DataFrame(records), HEADER, texts, left=4)


def _rows(results: Results, comparison: Comparison, method: str, bounds: Sequence[Bound], delta: float) -> list[_Row]:
    measured, solvable = measure(results, comparison, method, delta), 100 * solvable_share(comparison, method)
    point, spent = measured.point, float(comparison.curve(method).rollouts[-1])
    constants = (
        f"accuracy {point.base:.3f} to {measured.accuracy:.3f}, KL from the start at least {point.divergence:.3f}, "
        f"C {point.coverage:.2f} ({solvable:.0f} % solvable)"
    )
    named = [_Row(bound.title, constants, measured.reached(bound), spent) for bound in bounds]
    # The bounds on groups assume uniform sampling, with the accuracies at the profile's first visits.
    profile_group = group_size(results.profile_ledger(comparison.pool))
    first_seed = comparison.evaluations[method].seeds[0]
    group = min(profile_group, group_size(results.ledger(comparison.pool, method, first_seed)))
    arguments = (results, comparison, method, group, profile_group)
    # Smaller groups give no estimate of the variance's parts.
    gradient = [_gradient(*arguments)] if profile_group >= FEWEST else []
    return [*named, _informative_group(*arguments), *gradient, _budget(results, comparison, method)]


def _informative_group(results: Results, comparison: Comparison, method: str, group: int, profile_group: int) -> _Row:
    pool, seeds = comparison.pool, comparison.evaluations[method].seeds
    share = pool_informative_share(results.history(pool), profile_group, group, len(comparison.questions))
    counts = [rollouts_per_informative_group(each, group) for each in (share.value, share.high, share.low)]
    spent = [spent_per_informative_group(results.metrics(pool, method, seed), group) for seed in seeds]
    constants = f"q {share.value:.3f}, G {group}"
    return _Row("one informative group", constants, Measured(*counts), float(np.mean(spent)), EXPECTED)


def _gradient(results: Results, comparison: Comparison, method: str, group: int, profile_group: int) -> _Row:
    pool, seeds = comparison.pool, comparison.evaluations[method].seeds
    (mean, variance), replicates = pool_gradient(results.history(pool), profile_group, len(comparison.questions))
    count = Measured.of(
        rollouts_for_error(variance, mean, 1.0, group),
        np.array([rollouts_for_error(each, size, 1.0, group) for size, each in replicates]),
    )
    parts = f"mean {mean:.3f}, variance between {variance.between:.4f} and within {variance.within:.4f}"
    spent = [results.metrics(pool, method, seed)["rollouts"].iloc[0] for seed in seeds]
    constants = f"{parts}, G {group} (best {best_group(variance):.1f})"
    return _Row("a step's gradient, error 100 %", constants, count, float(np.mean(spent)), EXPECTED)


def _budget(results: Results, comparison: Comparison, method: str) -> _Row:
    xi = base_budget(results, comparison, method)
    text = f"xi {xi.value:.2f} [{xi.low:.2f}, {xi.high:.2f}], best {BEST[0]} to {BEST[1]}"
    none = Measured(math.nan, math.nan, math.nan)
    return _Row("relative budget", text, none, math.nan, f"{regime(xi.value)}; no count follows")
