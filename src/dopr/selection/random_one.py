"""Prompts drawn uniformly: the control that shows what a selector adds to a small batch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dopr.selection.selector import Memoryless, Setup


@dataclass
class Selector(Memoryless):
    """`count` distinct prompts of the pool, drawn afresh each step."""

    setup: Setup

    def select(self, step: int) -> list[str]:
        """Uniform, without replacement within a step."""
        rng = np.random.default_rng([self.setup.seed, step])
        picks = rng.choice(len(self.setup.pool), size=self.setup.count, replace=False)
        return [self.setup.pool[i] for i in picks]
