"""SPEED-RL (arXiv 2506.09016): a few rollouts screen each prompt, and only prompts of intermediate difficulty go on.

A new prompt gets `screening` rollouts: by default half a group, or the largest part that divides it. If its accuracy
lies strictly between `low` and `high`, the next step completes its group, beside the screening of new prompts;
complete groups are trained on once `count` are there, and what exceeds the batch waits in a buffer, as published. One
rollout alone is never between 0 and 1, so groups need at least four.

Departure: a step costs count * group_size rollouts, whatever the rewards: first held prompts are completed, as many as
fit, and what is left screens new ones in GRPO's order. So a group may mix rollouts of two policies, where an update
came in between, and a buffered one is of an older policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from dopr.selection.parts.drawing import Epochs, OptionError
from dopr.selection.selector import BaseSelector, GroupDecision, GroupResult, RolloutRequest, Setup

Share = Annotated[float, Field(ge=0, le=1)]


@dataclass
class Selector(BaseSelector):
    """Complete what passed the screening; screen new prompts with the rest of the budget."""

    setup: Setup
    screening: Annotated[int, Field(ge=0)] = 0
    low: Share = 0.0
    high: Share = 1.0
    epochs: Epochs = field(init=False, repr=False)
    position: int = field(init=False, default=0)
    waiting: int = field(init=False, default=0)

    def __post_init__(self) -> None:
        size = self.setup.group_size
        self.screening = self.screening or max(part for part in range(1, size) if size % part == 0)
        if size % self.screening or self.screening == size:
            raise OptionError(
                f"speed: screening {self.screening} must divide the group size {size} and be smaller, so that every "
                "step costs the same"
            )
        self.epochs = Epochs(self.setup.seed, len(self.setup.pool))

    def request(self, step: int, held: Sequence[GroupResult]) -> list[RolloutRequest]:
        """The rest of held groups, then as many new prompts as the budget has room for."""
        size = self.setup.group_size
        rest, budget = size - self.screening, self.setup.count * size
        begun = [group for group in held if len(group.rewards) < size][: budget // rest]
        new = (budget - rest * len(begun)) // self.screening
        requests = [RolloutRequest(group.prompt, rest, group) for group in begun]
        for _ in range(new):
            requests.append(RolloutRequest(self.setup.pool[self.epochs[self.position]], self.screening))
            self.position += 1
        return requests

    def observe(self, step: int, group: GroupResult) -> None:
        """Nothing is learned beyond what the held groups show."""

    def decide(self, step: int, groups: Sequence[GroupResult]) -> GroupDecision:
        """Train on a full batch of complete groups; hold the others, and screened ones of intermediate difficulty."""
        complete = [group for group in groups if len(group.rewards) >= self.setup.group_size]
        train = complete[: self.setup.count] if len(complete) >= self.setup.count else []
        hold = [group for group in groups if group not in train and (group in complete or self.passes(group))]
        self.waiting = len(hold)
        return GroupDecision(tuple(train), tuple(hold))

    def passes(self, group: GroupResult) -> bool:
        """Whether the accuracy lies strictly between the limits."""
        return self.low < sum(group.rewards) / len(group.rewards) < self.high

    def state_dict(self) -> dict[str, Any]:
        """The position in the epochs."""
        return {"position": self.position}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        self.position = state["position"]

    def metrics(self) -> dict[str, float]:
        """Groups that wait to be completed or trained on."""
        return {"waiting": float(self.waiting)}
