"""The order of GRPO: epochs over the whole pool, each in a new random order."""

from __future__ import annotations

from dataclasses import dataclass, field

from dopr.selection.parts.drawing import ShuffledEpochs
from dopr.selection.selector import Setup, StatelessSelector


@dataclass
class Selector(StatelessSelector):
    """Each prompt once per epoch; an epoch may end within a step."""

    setup: Setup
    epochs: ShuffledEpochs = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self.epochs = ShuffledEpochs(self.setup.seed, len(self.setup.pool))

    def select(self, step: int) -> list[str]:
        """Return the next `count` prompts of the shuffled epochs."""
        count = self.setup.count
        return [self.setup.pool[self.epochs[position]] for position in range(step * count, (step + 1) * count)]
