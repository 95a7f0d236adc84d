"""Aggregates over runs and benchmarks in the manner of rliable (dopr.analysis.aggregates), at the last checkpoints."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from dopr.analysis.aggregates import by_benchmark, iqm, performance_profile, probability_of_improvement, redrawn
from dopr.analysis.comparison import Comparison
from dopr.analysis.display_names import display_name
from dopr.analysis.statistics import interval
from dopr.records import derive_seed
from dopr.tables.cells import NONE, percent, percent_interval
from dopr.tables.typeset import Table

THRESHOLDS = (0.5, 0.6, 0.7, 0.8, 0.9)


def aggregate_table(comparisons: Sequence[Comparison], reference: str, replicates: int) -> Table:
    """One row a pool and method: IQM, the chance that a run beats one of the reference, and the performance profile."""
    records, rows = [], []
    for comparison in comparisons:
        against = by_benchmark(comparison.evaluations[reference])
        for method, evaluation in comparison.evaluations.items():
            scores, drawn = by_benchmark(evaluation), derive_seed("aggregates", comparison.pool, method)
            low, high = map(float, interval(redrawn(iqm, [scores], replicates, drawn)))
            profile = performance_profile(scores, THRESHOLDS)
            middle = float(iqm(scores))
            record = {"pool": comparison.pool, "method": method, "iqm": middle, "low": low, "high": high}
            cells = [percent(middle), percent_interval(low, high), NONE, NONE]
            if method != reference:
                better = redrawn(probability_of_improvement, [scores, against], replicates, drawn)
                less, more = map(float, interval(better))
                chance = float(probability_of_improvement(scores, against))
                record |= {"improvement": chance, "improvement_low": less, "improvement_high": more}
                cells[2:] = [f"{chance:.2f}", f"[{less:.2f}, {more:.2f}]"]
            records.append(record | {f"above_{t:g}": float(v) for t, v in zip(THRESHOLDS, profile, strict=True)})
            rows.append([comparison.pool, display_name(method), *cells, *(percent(float(value)) for value in profile)])
    header = ["pool", "method", "IQM, %", "95 % interval", f"P(better than {display_name(reference)})", "95 % interval"]
    return Table(pd.DataFrame(records), [*header, *(f"above {t:.0%}" for t in THRESHOLDS)], rows, left=2)
