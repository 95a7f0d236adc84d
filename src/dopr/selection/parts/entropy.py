"""Exploration scaled by the entropy of the policy: the less certain the policy, the more a selector explores.

    c_t = c_0 clip(H_t / H_0, low, high)

H is the mean of -log p over the sampled tokens: H_0 over the first GROUPS groups of a run, H_t over the last GROUPS.
A single group would show the difficulty of its prompt rather than the state of the policy. Before there are GROUPS
groups, c_t = c_0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dopr.selection.parts.drawing import OptionError

GROUPS = 16


class EntropyScale:
    """The factor c_t / c_0 of the exploration strength.

    Args:
        clip: The lower and the upper limit of the factor.

    Raises:
        OptionError: If the limits are negative or in the wrong order.
    """

    def __init__(self, clip: tuple[float, float]) -> None:
        self.low, self.high = clip
        if not 0 <= self.low <= self.high:
            raise OptionError(f"entropy: {list(clip)} must be two numbers, [low, high], with 0 <= low <= high")
        self.first: list[float] = []
        self.last: list[float] = []

    def observe(self, entropy: float) -> None:
        """Record the entropy of a group, in nats per token.

        Raises:
            OptionError: If it is not known, as in a simulation.
        """
        if not math.isfinite(entropy):
            raise OptionError(f"entropy: needs the policy's entropy, which is {entropy} here; leave this option out")
        if len(self.first) < GROUPS:
            self.first.append(entropy)
        self.last = [*self.last, entropy][-GROUPS:]

    @property
    def factor(self) -> float:
        """Return the factor by which to multiply the exploration strength."""
        first = sum(self.first)
        if len(self.first) < GROUPS or first <= 0:
            return 1.0
        return float(np.clip(sum(self.last) / first, self.low, self.high))

    def state_dict(self) -> dict[str, Any]:
        """Return the first and the last entropies."""
        return {"first": list(self.first), "last": list(self.last)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned."""
        self.first, self.last = list(state["first"]), list(state["last"])
