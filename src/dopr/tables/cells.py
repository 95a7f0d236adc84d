"""Numbers as the text of table cells and as CSV columns."""

from __future__ import annotations

import math
from typing import Any

from dopr.analysis.rollouts_to_target import RolloutsToTarget
from dopr.analysis.saving_ratio import SavingRatio

NONE = "–"


def decimal(value: float) -> str:
    """Return a number with one decimal."""
    return "∞" if math.isinf(value) else f"{value:.1f}"


def percent(value: float) -> str:
    """Return a share of 0..1 in percent with one decimal."""
    return NONE if math.isnan(value) else f"{100 * value:.1f}"


def percent_interval(low: float, high: float) -> str:
    """Return an interval of shares, in percent."""
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def bracket(low: float, high: float, digits: int) -> str:
    """Return `[low, high]`; an end at 0 or infinity is round, as the budgets leave it open."""
    left = "(0" if low == 0 else f"[{low:.{digits}f}"
    right = "∞)" if math.isinf(high) else f"{high:.{digits}f}]"
    return f"{left}, {right}"


def rollouts_text(at: RolloutsToTarget) -> str:
    """Return the rollouts to a target, or `> budget` if it was not reached."""
    return f"> {at.budget:.0f}" if math.isnan(at.rollouts) else f"{at.rollouts:.0f}"


def seeds_text(at: RolloutsToTarget) -> str:
    """Return how many of the seeds reached the target: `2/3`."""
    return f"{at.seeds_reached}/{len(at.by_seed)}"


def reach_record(at: RolloutsToTarget) -> dict[str, Any]:
    """Return the rollouts to a target and their interval as CSV columns."""
    low, high = at.interval
    return {
        "rollouts": at.rollouts,
        "low": low,
        "high": high,
        "budget": at.budget,
        "runs_reached": at.seeds_reached,
        "runs": len(at.by_seed),
    }


def saving_text(saving: SavingRatio) -> str:
    """Return a saving with its interval, with `>` or `<` if a budget ended before the target."""
    if math.isnan(saving.value):
        return NONE
    value = f"{saving.bound} {saving.value:.2f}×".strip()
    return f"{value} {bracket(saving.low, saving.high, 2)}"


def saving_record(name: str, saving: SavingRatio) -> dict[str, Any]:
    """Return the numbers of a saving as CSV columns with the prefix `name`."""
    return {
        name: saving.value,
        f"{name}_bound": saving.bound,
        f"{name}_low": saving.low,
        f"{name}_high": saving.high,
        f"{name}_share_known": saving.share_known,
    }
