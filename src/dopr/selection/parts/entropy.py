"""Entropy-modulated exploration: the less certain the policy still is, the more a selector explores.

c_t = c_0 clip(H_t / H_0, low, high), with H the mean of -log p over sampled tokens: H_0 over the first GROUPS groups
of a run, H_t over the last. One group alone would say more about its prompt than about the policy. Until there are
GROUPS, c_t = c_0.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from dopr.selection.parts.drawing import OptionError

GROUPS = 16


class EntropyScale:
    """The factor c_t / c_0; clip: (low, high)."""

    def __init__(self, clip: tuple[float, float]) -> None:
        self.low, self.high = clip
        if not 0 <= self.low <= self.high:
            raise OptionError(f"entropy: {list(clip)} must be two numbers, [low, high], with 0 <= low <= high")
        self.first: list[float] = []
        self.last: list[float] = []

    def observe(self, entropy: float) -> None:
        """Note the entropy of a group, in nats a token.

        Raises:
            OptionError: it is not known, as in a replay.
        """
        if not math.isfinite(entropy):
            raise OptionError(f"entropy: needs the policy's entropy, which is {entropy} here; leave this option out")
        if len(self.first) < GROUPS:
            self.first.append(entropy)
        self.last = [*self.last, entropy][-GROUPS:]

    @property
    def factor(self) -> float:
        """What the exploration strength is multiplied by."""
        start = sum(self.first)
        if len(self.first) < GROUPS or start <= 0:
            return 1.0
        return float(np.clip(sum(self.last) / start, self.low, self.high))

    def state_dict(self) -> dict[str, Any]:
        """The first and the last entropies."""
        return {"first": list(self.first), "last": list(self.last)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        self.first, self.last = list(state["first"]), list(state["last"])
