"""Tables of savings: every method against GRPO, and against random selection with the same reuse.

Random selection with small batches and reuse saves rollouts too, so the saving over GRPO is not that of the selector.
The saving over the control is: the control has the same batch, reuse and number of trials, and selects at random.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

import numpy as np
import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.costs import Cost, cumulative_cost
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

COSTS: tuple[Cost, ...] = ("tokens", "updates", "cpu_seconds")
DIGITS: dict[str, int] = {"tokens": 0, "updates": 0, "cpu_seconds": 1}


def ratio_table(
    comparisons: Sequence[Comparison], targets: Sequence[float], reference: str, controls: Mapping[str, str]
) -> Table:
    """Return one row per pool, target and method: rollouts, saving over the reference, saving over its control.

    controls: maps a method to the method that differs from it only in the selector.
    """
    records, rows = [], []
    for comparison in comparisons:
        for target in targets:
            at = {method: rollouts_to_target(comparison.curve(method), target) for method in comparison.evaluations}
            for method, reached in at.items():
                over_reference = _saving(at, reference, method)
                over_control = _saving(at, controls.get(method, method), method)
                records.append(
                    {
                        **{"pool": comparison.pool, "target": target, "method": method},
                        **reach_record(reached),
                        **(saving_record("saving", over_reference) if over_reference else {}),
                        **(saving_record("over_control", over_control) if over_control else {}),
                    }
                )
                texts = [saving_text(saving) if saving else NONE for saving in (over_reference, over_control)]
                spread = bracket(*reached.interval, 0) if reached.share_reached else NONE
                names = [comparison.pool, f"{target:g}", display_name(method)]
                rows.append([*names, rollouts_text(reached), spread, seeds_text(reached), *texts])
    header = ["pool", "target", "method", "rollouts", "95 % interval", "runs"]
    return Table(
        pd.DataFrame(records), [*header, f"saving over {display_name(reference)}", "saving over random"], rows, left=3
    )


def _saving(at: Mapping[str, RolloutsToTarget], reference: str, method: str) -> SavingRatio | None:
    """Return the saving of a method over the reference, or None if that was not run or is the method itself."""
    return saving_ratio(at[reference], at[method]) if method != reference and reference in at else None


def final_accuracy_table(comparisons: Sequence[Comparison], reference: str) -> Table:
    """Return one row per pool and method: accuracy at the end of its budget, and its difference to the reference's.

    The difference is resampled on the same questions for both. `best` is the highest accuracy of the mean curve. It is
    biased upwards, as it is chosen on the reported questions; it shows how much a run has lost by its end.
    """
    records, rows = [], []
    for comparison in comparisons:
        end = comparison.curve(reference)
        for method in comparison.evaluations:
            curve = comparison.curve(method)
            low, high = interval(curve.replicates[:, -1])
            differences = curve.replicates[:, -1] - end.replicates[:, -1]
            less, more = interval(differences) if method != reference else (np.zeros(()), np.zeros(()))
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
    """Return one row per pool, target and method: tokens, updates and CPU-seconds until the mean curve reaches it.

    Seconds are measured, so this table differs from one run of the experiment to the next.
    """
    records, rows = [], []
    for comparison in comparisons:
        costs = {method: _mean_costs(results, evaluation) for method, evaluation in comparison.evaluations.items()}
        accuracies = {method: comparison.curve(method).mean for method in costs}
        for target, method in product(targets, costs):
            to_target: dict[str, float] = {
                axis: float(first_crossing(cost, accuracies[method], target)) for axis, cost in costs[method].items()
            }
            records.append({"pool": comparison.pool, "target": target, "method": method, **to_target})
            texts = [NONE if np.isnan(value) else f"{value:.{DIGITS[axis]}f}" for axis, value in to_target.items()]
            rows.append([comparison.pool, f"{target:g}", display_name(method), *texts])
    header = ["pool", "target", "method", "tokens", "updates", "CPU-seconds"]
    return Table(pd.DataFrame(records), header, rows, left=3)


def _mean_costs(results: Results, evaluation: Evaluation) -> dict[str, FloatArray]:
    """Return the mean cost of the runs at each checkpoint."""
    return {axis: cumulative_cost(results, evaluation, axis).mean(axis=0) for axis in COSTS}
