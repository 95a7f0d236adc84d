"""DAPO's dynamic sampling (arXiv 2503.14476): groups all right or all wrong are dropped, and sampling goes on until a
batch of informative ones is there.

Each step generates a round of `count` prompts, in GRPO's order. Informative groups are held until `count` of them are
there; then they are trained on, and what exceeds the batch is discarded, as in the authors' code. Departure: a round
is a step of its own, with an update or without, so that a step's cost does not depend on rewards; what is published
as one step is here as many as it took. Held groups are from the policy that is updated on them, as nothing changes it
in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dopr.selection.parts.drawing import Epochs
from dopr.selection.selector import GroupDecision, GroupResult, Setup, StatelessSelector


@dataclass
class Selector(StatelessSelector):
    """Rounds of `count` prompts, and an update whenever `count` informative groups are there."""

    setup: Setup
    epochs: Epochs = field(init=False, repr=False)
    waiting: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        self.epochs = Epochs(self.setup.seed, len(self.setup.pool))

    def select(self, step: int) -> list[str]:
        """The next prompts of a shuffled epoch."""
        count = self.setup.count
        return [self.setup.pool[self.epochs[position]] for position in range(step * count, (step + 1) * count)]

    def decide(self, step: int, groups: Sequence[GroupResult]) -> GroupDecision:
        """Train on a full batch of informative groups, or hold what there is."""
        informative = tuple(group for group in groups if group.informative)
        full = len(informative) >= self.setup.count
        self.waiting = 0 if full else len(informative)
        return GroupDecision(informative[: self.setup.count]) if full else GroupDecision((), informative)

    def metrics(self) -> dict[str, float]:
        """Informative groups that wait for the batch to fill."""
        return {"waiting": float(self.waiting)}
