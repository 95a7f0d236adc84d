"""Prompts drawn uniformly: the control that shows what a selector adds to a small batch."""

from __future__ import annotations

from dataclasses import dataclass

from dopr.selection.parts.drawing import check_candidates, generator
from dopr.selection.selector import Setup, StatelessSelector


@dataclass
class Selector(StatelessSelector):
    """`count` distinct prompts of the pool, drawn afresh each step."""

    setup: Setup

    def __post_init__(self) -> None:
        check_candidates("random_one", "all", self.setup.count, len(self.setup.pool))

    def select(self, step: int) -> list[str]:
        """Uniform, without replacement within a step."""
        picks = generator(self.setup.seed, step).choice(len(self.setup.pool), size=self.setup.count, replace=False)
        return [self.setup.pool[i] for i in picks]
