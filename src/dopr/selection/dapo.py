"""DAPO's dynamic sampling (arXiv 2503.14476): sample until a batch of informative groups is full; drop all others.

Each step generates groups of the next `count` prompts of GRPO's order. Informative groups are held until there are
`count` of them. The policy is then trained on these, and surplus groups are discarded, as in the authors' code.

Departure: each round of sampling is a step, with or without an update, so that the cost of a step does not depend on
rewards. One step of the paper is several steps here. Held groups are still on-policy, because the policy does not
change before the update.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from dopr.selection import uniform
from dopr.selection.selector import GroupDecision, GroupResult


@dataclass
class Selector(uniform.Selector):
    """`count` prompts at each step, and an update once `count` informative groups are held."""

    waiting: int = field(init=False, default=0)

    def decide(self, step: int, groups: Sequence[GroupResult]) -> GroupDecision:
        """Train on a full batch of informative groups, or hold the informative groups so far."""
        informative = tuple(group for group in groups if group.informative)
        full = len(informative) >= self.setup.count
        self.waiting = 0 if full else len(informative)
        return GroupDecision(informative[: self.setup.count]) if full else GroupDecision((), informative)

    def metrics(self) -> dict[str, float]:
        """Return the number of held groups."""
        return {"waiting": float(self.waiting)}
