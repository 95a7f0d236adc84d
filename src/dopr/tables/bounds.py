"""The bounds table: each bound at the constants measured in this experiment, beside what was really spent."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from dopr.bounds.bound import Bound
from dopr.bounds.gradient_error import rollouts_for_error
from dopr.bounds.relative_budget import BEST, regime
from dopr.bounds.signal_share import rollouts_per_informative_group
from dopr.comparison import Comparison
from dopr.constants import (
    Measured,
    base_budget,
    group_size,
    measure,
    pool_gradient,
    pool_informative_share,
    solvable_share,
    spent_per_informative_group,
)
from dopr.labels import label
from dopr.results import Results
from dopr.tables.cells import NONE, decimal
from dopr.tables.typeset import Table

HEADER = ["pool", "method", "bound", "constants", "counts", "95 % interval", "spent", "reading"]


@dataclass(frozen=True)
class _Row:
    """What a bound counts, the constants in it, and what was spent on the same thing; `reading` is what to make of it,
    by default from the two numbers."""

    bound: str
    constants: str
    count: Measured
    spent: float
    reading: str = ""

    @property
    def cells(self) -> list[str]:
        count, spent = self.count, NONE if math.isnan(self.spent) else decimal(self.spent)
        ends = NONE if math.isnan(count.low) else f"[{decimal(count.low)}, {decimal(count.high)}]"
        value = NONE if math.isnan(count.value) else decimal(count.value)
        return [self.bound, self.constants, value, ends, spent, self.reading or reading(count.value, self.spent)]


def reading(count: float, spent: float) -> str:
    """What a lower bound says beside what was spent."""
    if math.isnan(count):
        return "does not apply here"
    if count == 0:
        return "vacuous: excludes nothing"
    if count > spent:
        return "above what was spent"
    return f"holds, {spent / count:,.1f} times below what was spent"


def bounds_table(results: Results, comparisons: Sequence[Comparison], bounds: Sequence[Bound], delta: float) -> Table:
    """One row a pool, method and bound; dopr.bounds says what each assumes.

    Args:
        bounds: lower bounds in rollouts. delta: error of a test.
    """
    records, texts = [], []
    for comparison in comparisons:
        for method in comparison.evaluations:
            for row in _rows(results, comparison, method, bounds, delta):
                names = {"pool": comparison.pool, "method": method, "bound": row.bound, "constants": row.constants}
                count = {"count": row.count.value, "low": row.count.low, "high": row.count.high, "spent": row.spent}
                records.append({**names, **count, "reading": row.cells[-1]})
                texts.append([comparison.pool, label(method), *row.cells])
    return Table(pd.DataFrame(records), HEADER, texts, left=4)


def _rows(results: Results, comparison: Comparison, method: str, bounds: Sequence[Bound], delta: float) -> list[_Row]:
    measured, solvable = measure(results, comparison, method, delta), 100 * solvable_share(comparison, method)
    point, spent = measured.point, float(comparison.curve(method).rollouts[-1])
    constants = (
        f"accuracy {point.base:.3f} to {measured.accuracy:.3f}, KL from the start at least {point.divergence:.3f}, "
        f"C {point.coverage:.2f} ({solvable:.0f} % solvable)"
    )
    named = [_Row(bound.title, constants, measured.reached(bound), spent) for bound in bounds]
    return [*named, *_of_groups(results, comparison, method), _budget(results, comparison, method)]


def _of_groups(results: Results, comparison: Comparison, method: str) -> list[_Row]:
    """What a group with signal, and a gradient, cost when the pool is sampled uniformly, from the profile's first
    visits."""
    pool, seeds = comparison.pool, comparison.evaluations[method].seeds
    history, drawn = results.history(pool), group_size(results.profile_ledger(pool))
    metrics = [results.metrics(pool, method, seed) for seed in seeds]
    group = min(drawn, group_size(results.ledger(pool, method, seeds[0])))
    share = pool_informative_share(history, drawn, group, len(comparison.questions))
    counts = [rollouts_per_informative_group(each, group) for each in (share.value, share.high, share.low)]
    spent = float(np.mean([spent_per_informative_group(each, group) for each in metrics]))
    said = "expected at the start of uniform sampling"
    signal = _Row("one informative group", f"q {share.value:.3f}, G {group}", Measured(*counts), spent, said)

    (mean, variance), replicates = pool_gradient(history, drawn, len(comparison.questions))
    least = [rollouts_for_error(each, size, 1.0, group) for size, each in [(mean, variance), *replicates]]
    parts = f"mean {mean:.3f}, between {variance.between:.4f}, within {variance.within:.4f}, G {group}"
    a_step = float(np.mean([each["rollouts"].iloc[0] for each in metrics]))
    count = Measured.of(least[0], np.array(least[1:]))
    return [signal, _Row("a step's gradient, error 100 %", parts, count, a_step, said)]


def _budget(results: Results, comparison: Comparison, method: str) -> _Row:
    xi = base_budget(results, comparison, method)
    text = f"xi {xi.value:.2f} [{xi.low:.2f}, {xi.high:.2f}], best {BEST[0]} to {BEST[1]}"
    none = Measured(math.nan, math.nan, math.nan)
    return _Row("relative budget", text, none, math.nan, f"{regime(xi.value)}; no count follows")
