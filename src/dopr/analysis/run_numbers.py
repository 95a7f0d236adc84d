"""Our numbers in the form of published ones (dopr.analysis.paper_numbers), to be shown beside them.

A number of ours and a printed one are of one thing if model, training set, method and measure have the same name: pools
and methods of the overlays in experiments/papers/ are named as the papers' sets and methods are in resources/published.
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
    """One row a training set, method, measure and checkpoint, with COLUMNS; accuracies in %, with 95 % intervals.

    model: the hub's name of the starting policy, whose last part is the published one.
    runs: POOL/METHOD/SEED of each. Measures are the benchmarks evaluated and `average`, their mean. Step 0, the
    starting policy, is training and method `base`, once.
    """
    rows: list[dict[str, object]] = []
    named = sorted(run.rsplit("/", 2) for run in runs)
    for (pool, method), members in groupby(named, key=lambda parts: (parts[0], parts[1])):
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
        for place, step in enumerate(evaluation.steps.tolist()):
            if step == 0 and has_base:
                continue
            yield {
                "training": comparison.pool if step else "base",
                "method": method if step else "base",
                **{"measure": measure, "step": step, "value": 100 * curve.mean[place]},
                **{"low": 100 * low[place], "high": 100 * high[place], "seeds": len(evaluation.seeds)},
            }
