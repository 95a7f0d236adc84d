"""How numbers look in a table."""

from __future__ import annotations

import math
from typing import Any

from dopr.analysis.rollouts_to_target import RolloutsToTarget
from dopr.analysis.saving_ratio import SavingRatio

NONE = "–"


def decimal(value: float) -> str:
    """A number with one decimal."""
    return "∞" if math.isinf(value) else f"{value:.1f}"


def percent(value: float) -> str:
    """A share of 0..1 in percent with one decimal."""
    return NONE if math.isnan(value) else f"{100 * value:.1f}"


def percent_interval(low: float, high: float) -> str:
    """An interval of shares, in percent."""
    return f"[{100 * low:.1f}, {100 * high:.1f}]"


def bracket(low: float, high: float, digits: int) -> str:
    """An interval: `[low, high]`, with a round end where it is open (0 or infinity: the budgets leave it open)."""
    left = "(0" if low == 0 else f"[{low:.{digits}f}"
    right = "∞)" if math.isinf(high) else f"{high:.{digits}f}]"
    return f"{left}, {right}"


def rollouts_text(at: RolloutsToTarget) -> str:
    """Rollouts to a target, or that more than the budget are needed."""
    return f"> {at.budget:.0f}" if math.isnan(at.rollouts) else f"{at.rollouts:.0f}"


def seeds_text(at: RolloutsToTarget) -> str:
    """How many of the seeds arrived: `2/3`."""
    return f"{at.seeds_reached}/{len(at.by_seed)}"


def reach_record(at: RolloutsToTarget) -> dict[str, Any]:
    """The numbers of a target reached, as CSV columns."""
    low, high = at.interval
    return {
        "rollouts": at.rollouts,
        "low": low,
        "high": high,
        "budget": at.budget,
        "runs_reached": at.seeds_reached,
        "runs": len(at.by_seed),
    }


def saving_text(found: SavingRatio) -> str:
    """A saving with its interval; `>` or `<` where a budget ended first."""
    if math.isnan(found.value):
        return NONE
    value = f"{found.bound} {found.value:.2f}×".strip()
    return f"{value} {bracket(found.low, found.high, 2)}"


def saving_record(name: str, found: SavingRatio) -> dict[str, Any]:
    """The numbers of a saving, as CSV columns called after `name`."""
    return {
        name: found.value,
        f"{name}_bound": found.bound,
        f"{name}_low": found.low,
        f"{name}_high": found.high,
        f"{name}_share_known": found.share_known,
    }
