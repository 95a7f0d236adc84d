"""Table of aggregates over runs and benchmarks as in rliable (dopr.analysis.aggregates), at the last checkpoints."""

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
    """Return one row per pool and method: IQM, probability of improvement on the reference, performance profile."""
    records, rows = [], []
    for comparison in comparisons:
        against = by_benchmark(comparison.evaluations[reference])
        for method, evaluation in comparison.evaluations.items():
            scores, seed = by_benchmark(evaluation), derive_seed("aggregates", comparison.pool, method)
            low, high = map(float, interval(redrawn(iqm, [scores], replicates, seed)))
            profile = performance_profile(scores, THRESHOLDS)
            mean = float(iqm(scores))
            record = {"pool": comparison.pool, "method": method, "iqm": mean, "low": low, "high": high}
            cells = [percent(mean), percent_interval(low, high), NONE, NONE]
            if method != reference:
                better = redrawn(probability_of_improvement, [scores, against], replicates, seed)
                better_low, better_high = map(float, interval(better))
                probability = float(probability_of_improvement(scores, against))
                record |= {"improvement": probability, "improvement_low": better_low, "improvement_high": better_high}
                cells[2:] = [f"{probability:.2f}", f"[{better_low:.2f}, {better_high:.2f}]"]
            records.append(record | {f"above_{t:g}": float(v) for t, v in zip(THRESHOLDS, profile, strict=True)})
            rows.append([comparison.pool, display_name(method), *cells, *(percent(float(value)) for value in profile)])
    header = ["pool", "method", "IQM, %", "95 % interval", f"P(better than {display_name(reference)})", "95 % interval"]
    return Table(pd.DataFrame(records), [*header, *(f"above {t:.0%}" for t in THRESHOLDS)], rows, left=2)
