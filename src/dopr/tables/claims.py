"""What papers claim to save against what was saved until a target here: rollouts, tokens, seconds and time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.costs import Spending, cumulative_cost
from dopr.analysis.display_names import display_name
from dopr.analysis.paper_numbers import published
from dopr.analysis.results import Results
from dopr.analysis.rollouts_to_target import rollouts_to_target
from dopr.analysis.saving_ratio import SavingRatio, saving_ratio
from dopr.tables.cells import NONE, saving_record, saving_text
from dopr.tables.typeset import Table

COSTS: dict[Spending, str] = {
    "rollouts": "rollouts",
    "tokens": "tokens",
    "cpu_seconds": "CPU-seconds",
    "gpu_seconds": "GPU-seconds",
    "wall_seconds": "time",
}


def claims_table(
    results: Results, comparisons: Sequence[Comparison], targets: Sequence[float], reference: str
) -> Table:
    """One row a pool, target and method: what its paper claims, and how many times less than the reference it spent.

    The profile is not counted (dopr.tables.targets does). Seconds are measured, so this table differs from one run of
    the experiment to the next. A claim is of the paper's models and data, and says nothing of these.
    """
    records, rows = [], []
    for comparison in comparisons:
        for target in targets:
            for method in comparison.evaluations:
                if method == reference:
                    continue
                claim = claimed(method)
                names = {"pool": comparison.pool, "target": target, "method": method, "claimed": claim}
                found = {axis: _saved(results, comparison, method, reference, target, axis) for axis in COSTS}
                records.append(names | _numbers(found))
                texts = [saving_text(each) for each in found.values()]
                rows.append([comparison.pool, f"{target:g}", display_name(method), claim or NONE, *texts])
    header = ["pool", "target", "method", "claimed by its paper", *COSTS.values()]
    return Table(pd.DataFrame(records), header, rows, left=4)


def claimed(method: str) -> str:
    """What the paper of a method, or of the one it is a variant of, claims, in words; empty if it claims no number."""
    claims = published("claims")
    known = [name for name in claims["method"].unique() if method == name or method.startswith(f"{name}_")]
    rows = claims[claims["method"].isin(known)]
    texts = []
    for value, cost, note in zip(rows["value"], rows["measure"], rows["note"], strict=True):
        bound, _, rest = note.partition("; ")
        against = f", {rest.partition(';')[0]}" if rest.startswith("against") else ""
        texts.append(f"{bound} {value:g}× {cost}{against}" if bound in ("nearly", "up to") else f"{value:g}× {cost}")
    return "; ".join(texts)


def _saved(
    results: Results, comparison: Comparison, method: str, reference: str, target: float, axis: Spending
) -> SavingRatio:
    """What the reference spent until the target, divided by what the method did."""
    sides = []
    for each in (reference, method):
        places = cumulative_cost(results, comparison.evaluations[each], axis).mean(axis=0)
        sides.append(rollouts_to_target(replace(comparison.curve(each), rollouts=places), target))
    return saving_ratio(sides[0], sides[1])


def _numbers(found: dict[Spending, SavingRatio]) -> dict[str, Any]:
    return {name: value for axis, each in found.items() for name, value in saving_record(f"{axis}_saved", each).items()}
