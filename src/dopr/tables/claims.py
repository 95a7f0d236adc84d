"""Table of the savings that papers claim and those measured here until a target: rollouts, tokens, seconds, time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.costs import Cost, cumulative_cost
from dopr.analysis.display_names import display_name
from dopr.analysis.paper_numbers import published
from dopr.analysis.results import Results
from dopr.analysis.rollouts_to_target import rollouts_to_target
from dopr.analysis.saving_ratio import SavingRatio, saving_ratio
from dopr.tables.cells import NONE, saving_record, saving_text
from dopr.tables.typeset import Table

COSTS: dict[Cost, str] = {
    "rollouts": "rollouts",
    "tokens": "tokens",
    "cpu_seconds": "CPU-seconds",
    "gpu_seconds": "GPU-seconds",
    "wall_seconds": "time",
}


def claims_table(
    results: Results, comparisons: Sequence[Comparison], targets: Sequence[float], reference: str
) -> Table:
    """Return one row per pool, target and method: its paper's claim, and the savings over the reference.

    The profile's rollouts are not counted here (dopr.tables.targets counts them). Seconds are measured, so this table
    differs from one run of the experiment to the next. A claim holds for the paper's models and data, not for those
    used here.
    """
    records, rows = [], []
    for comparison in comparisons:
        for target in targets:
            for method in comparison.evaluations:
                if method == reference:
                    continue
                claim = claimed(method)
                names = {"pool": comparison.pool, "target": target, "method": method, "claimed": claim}
                savings = {axis: _saved(results, comparison, method, reference, target, axis) for axis in COSTS}
                records.append(names | _numbers(savings))
                texts = [saving_text(each) for each in savings.values()]
                rows.append([comparison.pool, f"{target:g}", display_name(method), claim or NONE, *texts])
    header = ["pool", "target", "method", "claimed by its paper", *COSTS.values()]
    return Table(pd.DataFrame(records), header, rows, left=4)


def claimed(method: str) -> str:
    """Return the claim of a method's paper, or of the method it is a variant of; empty if no number is claimed."""
    claims = published("claims")
    known = [name for name in claims["method"].unique() if method == name or method.startswith(f"{name}_")]
    rows = claims[claims["method"].isin(known)]
    texts = []
    for value, cost, note in zip(rows["value"], rows["measure"], rows["note"], strict=True):
        bound, _, rest = note.partition("; ")
        baseline = f", {rest.partition(';')[0]}" if rest.startswith("against") else ""
        texts.append(f"{bound} {value:g}× {cost}{baseline}" if bound in ("nearly", "up to") else f"{value:g}× {cost}")
    return "; ".join(texts)


def _saved(
    results: Results, comparison: Comparison, method: str, reference: str, target: float, axis: Cost
) -> SavingRatio:
    """Return the cost of the reference until the target, divided by that of the method."""
    reached = []
    for name in (reference, method):
        costs = cumulative_cost(results, comparison.evaluations[name], axis).mean(axis=0)
        reached.append(rollouts_to_target(replace(comparison.curve(name), rollouts=costs), target))
    return saving_ratio(reached[0], reached[1])


def _numbers(savings: dict[Cost, SavingRatio]) -> dict[str, Any]:
    return {
        name: value
        for axis, saving in savings.items()
        for name, value in saving_record(f"{axis}_saved", saving).items()
    }
