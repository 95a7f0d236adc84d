"""The target table: rollouts to each target with their interval, and the saving over the reference method."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.display_names import display_name
from dopr.analysis.rollouts_to_target import RolloutsToTarget, rollouts_to_target
from dopr.analysis.saving_ratio import SavingRatio, saving_ratio
from dopr.tables.cells import NONE, bracket, reach_record, rollouts_text, saving_record, saving_text, seeds_text
from dopr.tables.typeset import Table


def target_table(
    comparisons: Sequence[Comparison],
    targets: Sequence[float],
    reference: str,
    history_methods: Collection[str],
    profile_rollouts: Mapping[str, int],
) -> Table:
    """Return one row per target and method; a saving is rollouts of the reference / rollouts of the method.

    Args:
        history_methods: the methods whose selector reads the profile's history; `with profile` counts its rollouts.
        profile_rollouts: rollouts of the profiling run, by pool.
    """
    records, rows = [], []
    for comparison in comparisons:
        for target in targets:
            reached = {
                method: rollouts_to_target(comparison.curve(method), target) for method in comparison.evaluations
            }
            against = reached[reference]
            for method, at in reached.items():
                charged = at.after(profile_rollouts[comparison.pool]) if method in history_methods else at
                names = {"pool": comparison.pool, "target": target, "method": method}
                records.append(names | _record(against, at, charged))
                rows.append([comparison.pool, f"{target:g}", display_name(method), *_texts(against, at, charged)])
    saved = f"saving over {display_name(reference)}"
    header = ["pool", "target", "method", "rollouts", "95 % interval", "seeds", saved]
    return Table(pd.DataFrame(records), [*header, "with profile", "saving, with profile"], rows, left=3)


def _versus(against: RolloutsToTarget, at: RolloutsToTarget) -> SavingRatio:
    """Return the saving; exactly 1 for the reference itself, however many of its replicates are censored."""
    if at is against:
        return SavingRatio(1.0, "", 1.0, 1.0, at.share_reached)
    return saving_ratio(against, at)


def _record(against: RolloutsToTarget, at: RolloutsToTarget, charged: RolloutsToTarget) -> dict[str, Any]:
    return {
        **reach_record(at),
        "share_reached": at.share_reached,
        **saving_record("saving", _versus(against, at)),
        "rollouts_with_profile": charged.rollouts,
        **saving_record("saving_with_profile", _versus(against, charged)),
    }


def _texts(against: RolloutsToTarget, at: RolloutsToTarget, charged: RolloutsToTarget) -> list[str]:
    spread = bracket(*at.interval, 0) if at.share_reached else NONE
    savings = [NONE if reached is against else saving_text(_versus(against, reached)) for reached in (at, charged)]
    return [rollouts_text(at), spread, seeds_text(at), savings[0], rollouts_text(charged), savings[1]]
