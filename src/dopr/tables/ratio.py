"""How many times fewer rollouts: every method against GRPO, and against the random prompt with as much reuse.

A random prompt with small batches and reuse saves rollouts too, so the saving over GRPO is not the selector's. The
saving over the control is: it has the same batch, the same reuse and as many trials, and draws its prompts blindly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.costs import Spending, cumulative_cost
from dopr.analysis.display_names import display_name
from dopr.analysis.results import Results
from dopr.analysis.rollouts_to_target import RolloutsToTarget, first_crossing, rollouts_to_target
from dopr.analysis.saving_ratio import SavingRatio, saving_ratio
from dopr.analysis.scores import Evaluation
from dopr.analysis.statistics import FloatArray, interval
from dopr.tables.cells import (
    NONE,
    bracket,
    percent,
    percent_interval,
    reach_record,
    rollouts_text,
    saving_record,
    saving_text,
    seeds_text,
)
from dopr.tables.typeset import Table

COSTS: tuple[Spending, ...] = ("tokens", "updates", "cpu_seconds")
DIGITS: dict[str, int] = {"tokens": 0, "updates": 0, "cpu_seconds": 1}


def ratio_table(
    comparisons: Sequence[Comparison], targets: Sequence[float], reference: str, controls: Mapping[str, str]
) -> Table:
    """One row a pool, target and method: rollouts, the saving over the reference, the saving over its control.

    controls: method -> the method that differs from it in the selector alone.
    """
    records, rows = [], []
    for comparison in comparisons:
        for target in targets:
            at = {method: rollouts_to_target(comparison.curve(method), target) for method in comparison.evaluations}
            for method, found in at.items():
                over = _saving(at, reference, method)
                beside = _saving(at, controls.get(method, method), method)
                records.append(
                    {
                        **{"pool": comparison.pool, "target": target, "method": method},
                        **reach_record(found),
                        **(saving_record("saving", over) if over else {}),
                        **(saving_record("over_control", beside) if beside else {}),
                    }
                )
                texts = [saving_text(each) if each else NONE for each in (over, beside)]
                spread = bracket(*found.interval, 0) if found.share_reached else NONE
                names = [comparison.pool, f"{target:g}", display_name(method)]
                rows.append([*names, rollouts_text(found), spread, seeds_text(found), *texts])
    header = ["pool", "target", "method", "rollouts", "95 % interval", "runs"]
    return Table(
        pd.DataFrame(records), [*header, f"saving over {display_name(reference)}", "saving over random"], rows, left=3
    )


def _saving(at: Mapping[str, RolloutsToTarget], reference: str, method: str) -> SavingRatio | None:
    """The saving of a method over another one that was run."""
    return saving_ratio(at[reference], at[method]) if method != reference and reference in at else None


def ceiling_table(comparisons: Sequence[Comparison], reference: str) -> Table:
    """One row a pool and method: accuracy at the end of its budget, and how far that is from the reference's end.

    The difference is resampled on the same questions for both. `best` is the highest checkpoint of the mean curve, on
    the questions reported: it flatters, and is there to show what a run lost again by its end.
    """
    records, rows = [], []
    for comparison in comparisons:
        end = comparison.curve(reference)
        for method in comparison.evaluations:
            curve = comparison.curve(method)
            low, high = interval(curve.replicates[:, -1])
            apart = curve.replicates[:, -1] - end.replicates[:, -1]
            less, more = interval(apart) if method != reference else (np.zeros(()), np.zeros(()))
            record: dict[str, Any] = {
                **{"pool": comparison.pool, "method": method, "rollouts": int(curve.rollouts[-1])},
                **{"accuracy": curve.mean[-1], "low": float(low), "high": float(high), "best": curve.mean.max()},
                **{"difference": curve.mean[-1] - end.mean[-1], "less": float(less), "more": float(more)},
            }
            records.append(record)
            difference = f"{100 * record['difference']:+.1f} [{100 * float(less):+.1f}, {100 * float(more):+.1f}]"
            names = [comparison.pool, display_name(method), str(record["rollouts"])]
            spread = percent_interval(float(low), float(high))
            shown = NONE if method == reference else difference
            rows.append([*names, percent(record["accuracy"]), spread, percent(record["best"]), shown])
    header = ["pool", "method", "rollouts", "accuracy, %", "95 % interval", "best, %"]
    return Table(pd.DataFrame(records), [*header, f"difference to {display_name(reference)}"], rows, left=2)


def cost_table(results: Results, comparisons: Sequence[Comparison], targets: Sequence[float]) -> Table:
    """One row a pool, target and method: tokens, updates and CPU-seconds until the mean curve reaches the target.

    Seconds are measured, so this table alone differs from one run of the experiment to the next.
    """
    records, rows = [], []
    for comparison in comparisons:
        places = {method: _mean_costs(results, evaluation) for method, evaluation in comparison.evaluations.items()}
        accuracies = {method: comparison.curve(method).mean for method in places}
        for target, method in product(targets, places):
            found: dict[str, float] = {
                axis: float(first_crossing(place, accuracies[method], target)) for axis, place in places[method].items()
            }
            records.append({"pool": comparison.pool, "target": target, "method": method, **found})
            texts = [NONE if np.isnan(value) else f"{value:.{DIGITS[axis]}f}" for axis, value in found.items()]
            rows.append([comparison.pool, f"{target:g}", display_name(method), *texts])
    header = ["pool", "target", "method", "tokens", "updates", "CPU-seconds"]
    return Table(pd.DataFrame(records), header, rows, left=3)


def _mean_costs(results: Results, evaluation: Evaluation) -> dict[str, FloatArray]:
    """What the runs had spent on average at each checkpoint."""
    return {axis: cumulative_cost(results, evaluation, axis).mean(axis=0) for axis in COSTS}
