"""The saving ratio: how many times fewer rollouts one method needs than another to reach a target accuracy.

A curve may end below the target (dopr.analysis.rollouts_to_target). Then the ratio is known only up to a bound:

    both reach the target    ratio = a / b, where a is of the reference and b of the method
    the reference does not   ratio > budget of the reference / b
    the method does not      ratio < a / budget of the method
    neither does             nothing is known: 0 to infinity

No replicate is dropped and no value is guessed. Every bootstrap replicate gives a lower and an upper bound, which are
equal when both curves reach the target. The interval runs from the low percentile of the lower bounds to the high
percentile of the upper bounds. So it is open, with an end of 0 or infinity, where the budgets leave it open.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from dopr.analysis.rollouts_to_target import RolloutsToTarget
from dopr.analysis.statistics import FloatArray, interval


@dataclass(frozen=True)
class SavingRatio:
    """Rollouts of the reference divided by rollouts of the method: above 1, the method needs fewer.

    Attributes:
        value: The ratio of the mean curves; nan when neither reaches the target.
        bound: "" for an exact value, ">" or "<" when one of the curves ends below the target.
        low, high: 95 % bootstrap interval; 0 or infinity at an open end.
        share_known: Share of the replicates in which both curves reach the target.
    """

    value: float
    bound: str
    low: float
    high: float
    share_known: float

    @property
    def verdict(self) -> str:
        """The result in words; an interval that spans 1 is no measurable difference."""
        if math.isnan(self.value):
            return "target not reached"
        if self.low <= 1 <= self.high:
            return "no measurable difference"
        return "fewer rollouts" if self.low > 1 else "more rollouts"


def saving_ratio(reference: RolloutsToTarget, method: RolloutsToTarget) -> SavingRatio:
    """Compare two methods replicate by replicate.

    Both must come from the same question weights. A target that the starting policy already meets, with a crossing at
    0 rollouts, gives no information.
    """
    low, high = _bounds(reference.replicates, reference.budget, method.replicates, method.budget)
    mean_low, mean_high = _bounds(
        np.array(reference.rollouts), reference.budget, np.array(method.rollouts), method.budget
    )
    value, bound = _value_and_bound(float(mean_low), float(mean_high))
    known = np.isfinite(reference.replicates) & np.isfinite(method.replicates)
    return SavingRatio(value, bound, float(interval(low)[0]), float(interval(high)[1]), float(known.mean()))


def _bounds(
    reference: FloatArray, reference_budget: float, method: FloatArray, method_budget: float
) -> tuple[FloatArray, FloatArray]:
    """Return lower and upper bounds of reference / method, elementwise; nan is a target that was not reached."""
    reference_reached, method_reached = np.isfinite(reference), np.isfinite(method)
    numerator = np.where(reference_reached, reference, reference_budget)
    denominator = np.where(method_reached, method, method_budget)
    usable = (numerator > 0) & (denominator > 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        low = np.where(method_reached & usable, numerator / denominator, 0.0)
        high = np.where(reference_reached & usable, numerator / denominator, np.inf)
    return low, high


def _value_and_bound(low: float, high: float) -> tuple[float, str]:
    if low == 0 and math.isinf(high):
        return math.nan, ""
    if math.isinf(high):
        return low, ">"
    return high, "<" if low == 0 else ""
