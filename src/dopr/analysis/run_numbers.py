"""Numbers of our runs in the form of published ones (dopr.analysis.paper_numbers), to be shown beside them.

Our number and a published one match if model, training set, method and measure have the same names. So the overlays in
experiments/papers/ name their pools and methods as resources/published names training sets and methods.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby

import pandas as pd

from dopr.analysis.comparison import Comparison, compare
from dopr.analysis.results import Results
from dopr.analysis.statistics import interval

COLUMNS = ("model", "training", "method", "measure", "step", "value", "low", "high", "seeds")


def run_numbers(results: Results, model: str, runs: Sequence[str], replicates: int) -> pd.DataFrame:
    """Return one row for each training set, method, measure and checkpoint, with COLUMNS.

    Accuracies are in %, with 95 % intervals. The measures are the benchmarks and `average`, their mean. Step 0, the
    starting policy, has training and method `base`, and occurs once.

    Args:
        results: The results folder.
        model: Name of the starting policy on the hub. The part after the slash is the published name.
        runs: POOL/METHOD/SEED of each run.
        replicates: Number of bootstrap replicates.
    """
    rows: list[dict[str, object]] = []
    parts = sorted(run.rsplit("/", 2) for run in runs)
    for (pool, method), members in groupby(parts, key=lambda run: (run[0], run[1])):
        seeds = [int(seed) for _, _, seed in members]
        rows += _of_method(compare(results, pool, [method], seeds, replicates), method, bool(rows))
    frame = pd.DataFrame(rows, columns=[name for name in COLUMNS if name != "model"])
    return frame.assign(model=model.rpartition("/")[2])[list(COLUMNS)]


def _of_method(comparison: Comparison, method: str, has_base: bool) -> Iterator[dict[str, object]]:
    evaluation = comparison.evaluations[method]
    measures = {name: [name] for name in comparison.benchmarks} | {"average": list(comparison.benchmarks)}
    for measure, members in measures.items():
        curve = comparison.curve(method, members)
        low, high = interval(curve.replicates)
        for checkpoint, step in enumerate(evaluation.steps.tolist()):
            if step == 0 and has_base:
                continue
            yield {
                "training": comparison.pool if step else "base",
                "method": method if step else "base",
                "measure": measure,
                "step": step,
                "value": 100 * curve.mean[checkpoint],
                "low": 100 * low[checkpoint],
                "high": 100 * high[checkpoint],
                "seeds": len(evaluation.seeds),
            }
