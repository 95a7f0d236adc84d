"""The number of training rollouts until a target accuracy, interpolated between evaluated checkpoints.

Every run has a budget of rollouts, so a curve may end below the target. Such a curve is censored: the target needs more
rollouts than the budget, and nothing else is known. It is nan here, and dopr.analysis.saving_ratio turns it into a
bound.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike

from dopr.analysis.bootstrap import Curve
from dopr.analysis.statistics import FloatArray, interval


def first_crossing(x: ArrayLike, y: ArrayLike, target: float) -> FloatArray:
    """Return the first x at which a piecewise-linear curve reaches `target`, or nan if it never does.

    Args:
        x: Increasing positions, `[points]`. Interpolation is linear in x.
        y: One curve or many, `[..., points]`.
        target: The height to reach. A curve that starts at or above it crosses at x[0].

    Returns:
        `[...]`, in units of x.
    """
    positions, curves = np.asarray(x, dtype=np.float64), np.asarray(y, dtype=np.float64)
    reached = curves >= target
    after = reached.argmax(axis=-1)
    before = np.maximum(after - 1, 0)
    low, high = (np.take_along_axis(curves, index[..., None], axis=-1)[..., 0] for index in (before, after))
    rise = np.where(reached.any(axis=-1) & (after > 0), high - low, 1.0)
    crossing = positions[before] + (positions[after] - positions[before]) * (target - low) / rise
    return np.where(reached.any(axis=-1), crossing, np.nan)


@dataclass(frozen=True)
class RolloutsToTarget:
    """Rollouts until a target accuracy; nan where the curve ends below it.

    Attributes:
        target: The accuracy to reach.
        budget: Rollouts at the last checkpoint.
        rollouts: Where the mean curve over seeds crosses the target. This is not the mean of the seeds' crossings.
        by_seed: Where each seed's own curve crosses it, `[seeds]`.
        replicates: Where each bootstrap replicate of the mean curve crosses it, `[replicates]`.
    """

    target: float
    budget: float
    rollouts: float
    by_seed: FloatArray
    replicates: FloatArray

    @property
    def seeds_reached(self) -> int:
        """Number of seeds whose own curve reaches the target."""
        return int(np.isfinite(self.by_seed).sum())

    @property
    def share_reached(self) -> float:
        """Share of the bootstrap replicates that reach the target."""
        return float(np.isfinite(self.replicates).mean())

    @property
    def interval(self) -> tuple[float, float]:
        """95 % bootstrap interval; the upper end is infinite when too many replicates stay below the target."""
        censored = np.isnan(self.replicates)
        low, _ = interval(np.where(censored, self.budget, self.replicates))
        _, high = interval(np.where(censored, np.inf, self.replicates))
        return float(low), float(high)

    def after(self, rollouts: float) -> RolloutsToTarget:
        """Add rollouts that were spent before training began, such as those of the profile."""
        return replace(
            self,
            budget=self.budget + rollouts,
            rollouts=self.rollouts + rollouts,
            by_seed=self.by_seed + rollouts,
            replicates=self.replicates + rollouts,
        )


def rollouts_to_target(curve: Curve, target: float) -> RolloutsToTarget:
    """Interpolate where a method's mean curve, its seeds' curves and its replicates first reach `target`."""
    return RolloutsToTarget(
        target,
        float(curve.rollouts[-1]),
        float(first_crossing(curve.rollouts, curve.mean, target)),
        first_crossing(curve.rollouts, curve.by_seed, target),
        first_crossing(curve.rollouts, curve.replicates, target),
    )
