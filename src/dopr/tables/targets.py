"""The target table: rollouts to each target with their interval, and the saving over the reference method."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import pandas as pd

from dopr.comparison import Comparison
from dopr.labels import label
from dopr.savings import Reach, Saving, reach, saving
from dopr.tables.cells import NONE, bracket, reach_record, rollouts_text, saving_record, saving_text, seeds_text
from dopr.tables.typeset import Table


def target_table(
    comparisons: Sequence[Comparison],
    targets: Sequence[float],
    reference: str,
    history_methods: Collection[str],
    profile_rollouts: Mapping[str, int],
) -> Table:
    """One row a target and method; savings are rollouts of the reference / rollouts of the method.

    Args:
        history_methods: the methods whose selector read the profile's history; `with profile` counts its rollouts.
        profile_rollouts: rollouts of the profiling run, by pool.
    """
    records, rows = [], []
    for comparison in comparisons:
        for target in targets:
            reaches = {method: reach(comparison.curve(method), target) for method in comparison.evaluations}
            against = reaches[reference]
            for method, at in reaches.items():
                charged = at.after(profile_rollouts[comparison.pool]) if method in history_methods else at
                names = {"pool": comparison.pool, "target": target, "method": method}
                records.append(names | _record(against, at, charged))
                rows.append([comparison.pool, f"{target:g}", label(method), *_texts(against, at, charged)])
    saved = f"saving over {label(reference)}"
    header = ["pool", "target", "method", "rollouts", "95 % interval", "seeds", saved]
    return Table(pd.DataFrame(records), [*header, "with profile", "saving, with profile"], rows, left=3)


def _versus(against: Reach, at: Reach) -> Saving:
    """The saving; exactly 1 for the reference itself, however many of its replicates are censored."""
    if at is against:
        return Saving(1.0, "", 1.0, 1.0, at.share_reached)
    return saving(against, at)


def _record(against: Reach, at: Reach, charged: Reach) -> dict[str, Any]:
    return {
        **reach_record(at),
        "share_reached": at.share_reached,
        **saving_record("saving", _versus(against, at)),
        "rollouts_with_profile": charged.rollouts,
        **saving_record("saving_with_profile", _versus(against, charged)),
    }


def _texts(against: Reach, at: Reach, charged: Reach) -> list[str]:
    spread = bracket(*at.interval, 0) if at.share_reached else NONE
    savings = [NONE if reached is against else saving_text(_versus(against, reached)) for reached in (at, charged)]
    return [rollouts_text(at), spread, seeds_text(at), savings[0], rollouts_text(charged), savings[1]]
