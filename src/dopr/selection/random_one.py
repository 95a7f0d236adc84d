"""Uniformly random prompts: the control that shows what selection adds when a batch is small."""

from __future__ import annotations

from dataclasses import dataclass

from dopr.selection.parts.drawing import check_candidates, generator
from dopr.selection.selector import Setup, StatelessSelector


@dataclass
class Selector(StatelessSelector):
    """`count` distinct prompts, drawn independently at each step."""

    setup: Setup

    def __post_init__(self) -> None:
        check_candidates("random_one", "all", self.setup.count, len(self.setup.pool))

    def select(self, step: int) -> list[str]:
        """Draw prompts uniformly, without replacement within a step."""
        chosen = generator(self.setup.seed, step).choice(len(self.setup.pool), size=self.setup.count, replace=False)
        return [self.setup.pool[index] for index in chosen]
