"""The bounds table: each bound at the constants measured in this experiment, beside what was spent."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.display_names import display_name
from dopr.analysis.informative_share import rollouts_per_informative_group
from dopr.analysis.results import Results
from dopr.bounds.bound import Bound, Kind
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
from dopr.tables.cells import NONE, decimal
from dopr.tables.typeset import Table

HEADER = ["pool", "method", "bound", "kind", "unit", "constants", "counts", "95 % interval", "spent", "reading"]
COST = "expected cost"  # the kind of what is no bound on learning: a group, and a step's gradient
EXPECTED = "expected at the start of uniform sampling"


@dataclass(frozen=True)
class _Row:
    """A bound at its constants beside what was spent, both in `unit`; `reading` compares them."""

    bound: str
    kind: str
    unit: str
    constants: str
    count: Measured
    spent: float
    reading: str

    @property
    def cells(self) -> list[str]:
        """Return the row as text."""
        count, spent = self.count, NONE if math.isnan(self.spent) else decimal(self.spent)
        ends = NONE if math.isnan(count.low) else f"[{decimal(count.low)}, {decimal(count.high)}]"
        value = NONE if math.isnan(count.value) else decimal(count.value)
        return [self.bound, self.kind, self.unit, self.constants, value, ends, spent, self.reading]


def reading(count: float, spent: float, kind: Kind = "needed to learn") -> str:
    """Return what a bound of some kind says, given the prompts or rollouts spent."""
    if math.isnan(count):
        return "does not apply here"
    if kind == "enough for another learner":
        return "fewer were used" if count > spent else "at least as many were used"
    if count == 0:
        return "vacuous: excludes nothing"
    if count > spent:
        return "above what was spent"
    return f"holds, {spent / count:,.1f} times below what was spent"


def bounds_table(
    results: Results, comparisons: Sequence[Comparison], bounds: Mapping[str, Sequence[Bound]], delta: float
) -> Table:
    """Return one row per pool, method and bound; the modules of dopr.bounds document the assumptions.

    Args:
        bounds: bounds by their unit, rollouts or prompts.
        delta: error probability of a test.
    """
    records, texts = [], []
    for comparison in comparisons:
        for method in comparison.evaluations:
            for row in _rows(results, comparison, method, bounds, delta):
                names = {"pool": comparison.pool, "method": method, "bound": row.bound}
                names |= {"kind": row.kind, "unit": row.unit, "constants": row.constants}
                count = {"count": row.count.value, "low": row.count.low, "high": row.count.high, "spent": row.spent}
                records.append({**names, **count, "reading": row.reading})
                texts.append([comparison.pool, display_name(method), *row.cells])
    return Table(pd.DataFrame(records), HEADER, texts, left=6)


def _rows(
    results: Results, comparison: Comparison, method: str, bounds: Mapping[str, Sequence[Bound]], delta: float
) -> list[_Row]:
    measured, solvable = measure(results, comparison, method, delta), 100 * solvable_share(comparison, method)
    point, seeds = measured.point, comparison.evaluations[method].seeds
    ledgers = [results.ledger(comparison.pool, method, seed) for seed in seeds]
    spent = {
        "rollouts": float(comparison.curve(method).rollouts[-1]),
        "prompts": float(np.mean([ledger["prompt"].nunique() for ledger in ledgers])),
    }
    constants = (
        f"accuracy {point.base:.3f} to {measured.accuracy:.3f}, KL from the start at least {point.divergence:.3f}, "
        f"C {point.coverage:.2f} ({solvable:.0f} % solvable)"
    )
    named = []
    for unit, of_unit in bounds.items():
        for bound in of_unit:
            count = measured.reached(bound)
            text = reading(count.value, spent[unit], bound.kind)
            named.append(_Row(bound.title, bound.kind, unit, constants, count, spent[unit], text))
    # The bounds on groups assume uniform sampling, with the accuracies at the profile's first visits.
    profile_group = group_size(results.profile_ledger(comparison.pool))
    group = min(profile_group, group_size(ledgers[0]))
    arguments = (results, comparison, method, group, profile_group)
    # Smaller groups give no estimate of the variance's parts.
    gradient = [_gradient(*arguments)] if profile_group >= FEWEST else []
    return [*named, _informative_group(*arguments), *gradient, _budget(results, comparison, method)]


def _informative_group(results: Results, comparison: Comparison, method: str, group: int, profile_group: int) -> _Row:
    pool, seeds = comparison.pool, comparison.evaluations[method].seeds
    share = pool_informative_share(results.history(pool), profile_group, group, len(comparison.questions))
    counts = [rollouts_per_informative_group(each, group) for each in (share.value, share.high, share.low)]
    spent = [spent_per_informative_group(results.ledger(pool, method, seed)) for seed in seeds]
    constants = f"q {share.value:.3f}, G {group}"
    mean = float(np.mean(spent))
    return _Row("one informative group", COST, "rollouts", constants, Measured(*counts), mean, EXPECTED)


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
    name = "a step's gradient, error 100 %"
    return _Row(name, COST, "rollouts", constants, count, float(np.mean(spent)), EXPECTED)


def _budget(results: Results, comparison: Comparison, method: str) -> _Row:
    xi = base_budget(results, comparison, method)
    text = f"xi {xi.value:.2f} [{xi.low:.2f}, {xi.high:.2f}], best {BEST[0]} to {BEST[1]}"
    none = Measured(math.nan, math.nan, math.nan)
    return _Row("relative budget", NONE, NONE, text, none, math.nan, f"{regime(xi.value)}; no count follows")
