"""SPEED-RL (arXiv 2506.09016): a few rollouts screen each prompt; only those of intermediate difficulty are completed.

A new prompt gets `screening` rollouts; the default is the largest proper divisor of the group size, which is half of an
even group. If its accuracy is strictly between `low` and `high`, the next step completes its group, while new prompts
are screened. Training waits for `count` complete groups; surplus groups stay in a buffer, as in the paper. A single
rollout that is right or wrong never passes, so it takes two or more to screen.

Departure: a step costs count * group_size rollouts, whatever the rewards. Held prompts are completed first, as many as
fit, and the rest of the budget screens new prompts, in GRPO's order. A group can therefore contain rollouts of two
policies, if an update came between, and a buffered group is from an older policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from dopr.selection.parts.drawing import OptionError, ShuffledEpochs
from dopr.selection.selector import BaseSelector, GroupDecision, GroupResult, RolloutRequest, Setup

Accuracy = Annotated[float, Field(ge=0, le=1)]


@dataclass
class Selector(BaseSelector):
    """Complete the prompts that passed screening, and screen new prompts with the rest of the budget.

    Args:
        setup: What the selector may use.
        screening: Rollouts that screen a prompt; 0 for the default.
        low: Lower limit of the accuracy, excluded.
        high: Upper limit of the accuracy, excluded.

    Raises:
        OptionError: If `screening` is 1, equals the group size, or does not divide it. A group size that is a prime
            number has no such divisor.
    """

    setup: Setup
    screening: Annotated[int, Field(ge=0)] = 0
    low: Accuracy = 0.0
    high: Accuracy = 1.0
    epochs: ShuffledEpochs = field(init=False, repr=False)
    position: int = field(init=False, default=0)
    waiting: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        size = self.setup.group_size
        divisors = [divisor for divisor in range(2, size) if size % divisor == 0]
        self.screening = self.screening or max(divisors, default=0)
        if self.screening not in divisors:
            fix = f"one of {divisors}" if divisors else "a group_size that is no prime number, such as 8"
            raise OptionError(
                f"speed: screening {self.screening or 1} does not screen a group of {size} at the same cost in every "
                f"step; take {fix}"
            )
        self.epochs = ShuffledEpochs(self.setup.seed, len(self.setup.pool))

    def request(self, step: int, held: Sequence[GroupResult]) -> list[RolloutRequest]:
        """Request the rest of held groups, then the screening of as many new prompts as the budget allows."""
        size = self.setup.group_size
        missing, budget = size - self.screening, self.setup.count * size
        incomplete = [group for group in held if len(group.rewards) < size][: budget // missing]
        new_prompts = (budget - missing * len(incomplete)) // self.screening
        requests = [RolloutRequest(group.prompt, missing, group) for group in incomplete]
        for _ in range(new_prompts):
            requests.append(RolloutRequest(self.setup.pool[self.epochs[self.position]], self.screening))
            self.position += 1
        return requests

    def observe(self, step: int, group: GroupResult) -> None:
        """Ignore the rewards: `decide` reads them from the groups."""

    def decide(self, step: int, groups: Sequence[GroupResult]) -> GroupDecision:
        """Train on a full batch of complete groups. Hold other complete groups, and screened groups that passed."""
        complete = [group for group in groups if len(group.rewards) >= self.setup.group_size]
        train = complete[: self.setup.count] if len(complete) >= self.setup.count else []
        hold = [group for group in groups if group not in train and (group in complete or self.passes(group))]
        self.waiting = len(hold)
        return GroupDecision(tuple(train), tuple(hold))

    def passes(self, group: GroupResult) -> bool:
        """Return whether the accuracy is strictly between the limits."""
        return self.low < sum(group.rewards) / len(group.rewards) < self.high

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the epochs."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned."""
        self.position = state["position"]

    def metrics(self) -> dict[str, float]:
        """Return the number of held groups."""
        return {"waiting": float(self.waiting)}
