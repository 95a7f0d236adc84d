"""Rollouts until a target accuracy, and how many times fewer one method needs than another.

A run has a budget, so a curve may never reach the target: it is censored, and all that is known is that more than the
budget would be needed. Nothing is dropped and nothing is guessed. Every bootstrap replicate gives a lower and an upper
bound (equal when both curves arrive), and the interval runs from the low percentile of the lower bounds to the high
percentile of the upper ones: it is open (0 or infinity) where the budgets leave it open. Between two methods:

    both arrive             saving = a / b, with a of the reference and b of the method
    the reference does not  saving > budget of the reference / b
    the method does not     saving < a / budget of the method
    neither                 nothing is known: 0 to infinity
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from dopr.analysis.bootstrap import Curve
from dopr.analysis.statistics import FloatArray, first_crossing, interval


@dataclass(frozen=True)
class RolloutsToTarget:
    """Rollouts until a target, by linear interpolation between checkpoints; nan where it is never reached.

    rollouts: of the seeds' mean curve (a crossing of the mean, not the mean of crossings).
    by_seed: of each seed's curve, shape (seeds,). replicates: of the bootstrap, shape (replicates,).
    budget: rollouts at the last checkpoint.
    """

    target: float
    budget: float
    rollouts: float
    by_seed: FloatArray
    replicates: FloatArray

    @property
    def seeds_reached(self) -> int:
        """How many seeds' own curves reach the target."""
        return int(np.isfinite(self.by_seed).sum())

    @property
    def share_reached(self) -> float:
        """Share of the bootstrap replicates that reach the target."""
        return float(np.isfinite(self.replicates).mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval; it ends at infinity when too many replicates do not arrive within the budget."""
        missed = np.isnan(self.replicates)
        low, _ = interval(np.where(missed, self.budget, self.replicates))
        _, high = interval(np.where(missed, np.inf, self.replicates))
        return float(low), float(high)

    def after(self, rollouts: float) -> RolloutsToTarget:
        """The same, with rollouts that were spent before training began (the profile's) counted too."""
        return replace(
            self,
            budget=self.budget + rollouts,
            rollouts=self.rollouts + rollouts,
            by_seed=self.by_seed + rollouts,
            replicates=self.replicates + rollouts,
        )


def rollouts_to_target(curve: Curve, target: float) -> RolloutsToTarget:
    """When a method's mean curve, each seed's curve and each replicate first reach `target`."""
    return RolloutsToTarget(
        target,
        float(curve.rollouts[-1]),
        float(first_crossing(curve.rollouts, curve.mean, target)),
        first_crossing(curve.rollouts, curve.by_seed, target),
        first_crossing(curve.rollouts, curve.replicates, target),
    )


@dataclass(frozen=True)
class SavingRatio:
    """Rollouts of the reference divided by those of the method: above 1, the method needs fewer.

    value: nan when neither mean curve arrives. bound: "" for an exact value, ">" or "<" when a budget ended first.
    low, high: 95 % bootstrap interval, 0 or infinity where it is open.
    share_known: share of the replicates in which both arrive.
    """

    value: float
    bound: str
    low: float
    high: float
    share_known: float

    @property
    def verdict(self) -> str:
        """In words; an interval that spans 1 is no measurable difference."""
        if math.isnan(self.value):
            return "target not reached"
        if self.low <= 1 <= self.high:
            return "no measurable difference"
        return "fewer rollouts" if self.low > 1 else "more rollouts"


def saving_ratio(reference: RolloutsToTarget, method: RolloutsToTarget) -> SavingRatio:
    """Compare two methods replicate by replicate; both must come from the same question weights.

    A target that the starting policy already meets (a crossing at 0 rollouts) gives no information.
    """
    low, high = _bounds(reference.replicates, reference.budget, method.replicates, method.budget)
    point_low, point_high = _bounds(
        np.array(reference.rollouts), reference.budget, np.array(method.rollouts), method.budget
    )
    value, bound = _point(float(point_low), float(point_high))
    known = np.isfinite(reference.replicates) & np.isfinite(method.replicates)
    return SavingRatio(value, bound, float(interval(low)[0]), float(interval(high)[1]), float(known.mean()))


def _bounds(
    reference: FloatArray, reference_budget: float, method: FloatArray, method_budget: float
) -> tuple[FloatArray, FloatArray]:
    """Lower and upper bounds of reference / method, elementwise; nan stands for never."""
    a, b = np.isfinite(reference), np.isfinite(method)
    at_least = np.where(a, reference, reference_budget)
    at_most = np.where(b, method, method_budget)
    usable = (at_least > 0) & (at_most > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(b & usable, at_least / at_most, 0.0)
        high = np.where(a & usable, at_least / at_most, np.inf)
    return low, high


def _point(low: float, high: float) -> tuple[float, str]:
    if low == 0 and math.isinf(high):
        return math.nan, ""
    if math.isinf(high):
        return low, ">"
    return high, "<" if low == 0 else ""
