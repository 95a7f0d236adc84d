"""GRPO's own order: the next prompts of a shuffled epoch."""

from __future__ import annotations

from dataclasses import dataclass, field

from dopr.selection.parts.drawing import Epochs
from dopr.selection.selector import Setup, StatelessSelector


@dataclass
class Selector(StatelessSelector):
    """Every prompt once an epoch, each epoch in a new order; an epoch may end within a step."""

    setup: Setup
    epochs: Epochs = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.epochs = Epochs(self.setup.seed, len(self.setup.pool))

    def select(self, step: int) -> list[str]:
        """The prompts at positions step * count to (step + 1) * count of the endless shuffled sequence."""
        count = self.setup.count
        return [self.setup.pool[self.epochs[position]] for position in range(step * count, (step + 1) * count)]
