"""GRPO's own order: the next prompts of a shuffled epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dopr.selection.selector import Memoryless, Setup


@dataclass
class Selector(Memoryless):
    """Every prompt once an epoch, each epoch in a new order; an epoch may end within a step."""

    setup: Setup

    def select(self, step: int) -> list[str]:
        """The prompts at positions step * count to (step + 1) * count of the endless shuffled sequence."""
        pool, count = self.setup.pool, self.setup.count
        places = range(step * count, (step + 1) * count)
        return [pool[self._order(place // len(pool))[place % len(pool)]] for place in places]

    def _order(self, epoch: int) -> np.ndarray:
        return np.random.default_rng([self.setup.seed, epoch]).permutation(len(self.setup.pool))
