"""Table of significance tests: every method against the reference, on each benchmark and on all.

Beside each difference is the smallest one that this experiment resolves (dopr.analysis.difference); a smaller
difference that is not significant is inconclusive. p-values are adjusted by Holm's method across the benchmarks of a
method. The mean over all benchmarks is a test of its own and is not among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.difference import Difference, Runs, difference, holm
from dopr.analysis.display_names import display_name
from dopr.analysis.scores import Evaluation
from dopr.analysis.statistics import even_weights
from dopr.tables.cells import NONE
from dopr.tables.typeset import Table

ALL = "all"


def significance_table(comparisons: Sequence[Comparison], reference: str) -> Table:
    """Return one row per pool, method and benchmark: the difference in sampled accuracy at the last checkpoints."""
    records, rows = [], []
    for comparison in comparisons:
        against = comparison.evaluations[reference]
        for method, evaluation in comparison.evaluations.items():
            if method == reference:
                continue
            differences = {name: last_difference(evaluation, against, name) for name in (*evaluation.benchmarks, ALL)}
            adjusted = holm([float(differences[name].p) for name in evaluation.benchmarks])
            for (name, each), p in zip(differences.items(), [*adjusted, np.nan], strict=True):
                low, high = map(float, each.interval)
                numbers = [float(each.value), low, high, float(each.p), float(p), float(each.resolved)]
                keys = ["difference", "low", "high", "p", "p_holm", "resolved"]
                names = {"pool": comparison.pool, "method": method, "benchmark": name}
                records.append({**names, **dict(zip(keys, numbers, strict=True)), **deviations(each)})
                rows.append([comparison.pool, display_name(method), name, *texts(numbers)])
    header = ["pool", "method", "benchmark", f"points over {display_name(reference)}", "95 % interval", "p", "p, Holm"]
    return Table(pd.DataFrame(records), [*header, "resolved"], rows, left=3)


def last_difference(method: Evaluation, reference: Evaluation, benchmark: str) -> Difference:
    """Return the difference at the last checkpoints, on one benchmark or on all."""
    chosen = np.full(len(method.questions), True)
    if benchmark != ALL:
        chosen = method.benchmark == method.benchmarks.index(benchmark)
    runs = [Runs(side.sampled[:, -1][:, chosen], side.pools) for side in (method, reference)]
    return difference(
        runs[0], runs[1], method.benchmark[chosen], even_weights(method.benchmark[chosen]), method.samples[-1, chosen]
    )


def deviations(compared: Difference) -> dict[str, float]:
    """Return the standard deviations of the difference by cause."""
    return {f"by_{cause}": float(np.sqrt(getattr(compared, cause))) for cause in ("questions", "seeds", "samples")}


def texts(numbers: Sequence[float]) -> list[str]:
    """Return the cells of a row."""
    value, low, high, p, adjusted, resolved = numbers
    spread = NONE if np.isnan(low) else f"[{100 * low:+.1f}, {100 * high:+.1f}]"
    shown = [NONE if np.isnan(each) else f"{each:.3f}" for each in (p, adjusted)]
    return [f"{100 * value:+.1f}", spread, *shown, NONE if np.isnan(resolved) else f"{100 * resolved:.1f}"]
