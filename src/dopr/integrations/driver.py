"""A selector in another trainer's loop: prompts out, rewards in, with a log of the rewards and a state to resume from.

Such a trainer samples complete groups of the prompts it is given and trains on all of them. A selector that asks for
parts of a group, or holds or discards groups, is refused when it is made.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from dopr.errors import RewardError, UserError
from dopr.integrations.rewards_log import RewardsLog
from dopr.selection.selector import (
    Features,
    GroupDecision,
    GroupResult,
    RolloutRequest,
    Setup,
    make_selector,
)

CHOOSE = "take one that chooses before any rollout (docs/selectors.md)"
DIGITS = 6  # of a reward: trainers keep float32, in which 0.1 is 0.10000000149


class SelectorDriver:
    """A selector, the number of its next step, and its log.

    Args:
        name: The selector.
        options: Its options.
        setup: What it may use.
        log: The file to log rewards to; None for processes that do not write.
        trainer: The name of the trainer, for messages.

    Raises:
        UserError: If there is no such selector, an option is refused, or the trainer cannot do what it asks.
    """

    def __init__(
        self, name: str, options: Mapping[str, Any], setup: Setup, log: Path | None, trainer: str = "this trainer"
    ) -> None:
        self.name, self.setup, self.trainer = name, setup, trainer
        self.options = json.loads(json.dumps(dict(options)))  # as they come back from a checkpoint
        self.log = RewardsLog(log) if log else None
        self.step = 0  # steps whose prompts were chosen
        self.observed = 0  # steps whose rewards were seen
        try:
            self.selector, trial = (make_selector(name, setup, self.options) for _ in range(2))
        except ValueError as error:
            raise UserError(str(error)) from None
        requests = self._checked(trial.request(0, []))
        groups = [GroupResult(request.prompt, (0.0,) * setup.group_size) for request in requests]
        self._check_decision(trial.decide(0, groups), groups)

    def choose(self) -> list[str]:
        """Return the prompts of the next step; a repeated id gives one more group of that prompt."""
        requests = self._checked(self.selector.request(self.step, []))
        self.step += 1
        return [request.prompt for request in requests]

    def observe(self, groups: Sequence[GroupResult]) -> None:
        """Show the selector the groups of the step whose prompts were chosen last, and log them.

        Raises:
            RewardError: If a reward is not within 0 and 1.
        """
        step = self.step - 1
        groups = [self._rounded(group) for group in groups]
        self._learn(step, groups)
        if self.log:
            self.log.append(step, groups)

    def _learn(self, step: int, groups: Sequence[GroupResult]) -> None:
        for group in groups:
            self.selector.observe(step, group)
        # A rollout may have no reward; a selector would take what is left of its group for a screened one.
        complete = [group for group in groups if len(group.rewards) == self.setup.group_size]
        self._check_decision(self.selector.decide(step, complete), complete)
        self.observed = step + 1

    def _rounded(self, group: GroupResult) -> GroupResult:
        rewards = tuple(round(reward, DIGITS) for reward in group.rewards)
        if not all(0 <= reward <= 1 for reward in rewards):
            raise RewardError(
                f"prompt {group.prompt}: rewards {list(rewards)} are not within 0 and 1, as selectors need them; "
                "name a reward that is by the option `reward`"
            )
        return GroupResult(group.prompt, rewards, group.entropy)

    def _checked(self, requests: Sequence[RolloutRequest]) -> Sequence[RolloutRequest]:
        for request in requests:
            if request.group is not None or request.rollouts != self.setup.group_size:
                raise UserError(
                    f"selector {self.name} asks for {request.rollouts} rollouts of a prompt, and {self.trainer} "
                    f"samples all {self.setup.group_size} of a group at once; {CHOOSE}"
                )
        if len(requests) != self.setup.count:
            raise UserError(
                f"selector {self.name} asks for {len(requests)} prompts, and {self.trainer} takes {self.setup.count} a "
                f"step; {CHOOSE}"
            )
        return requests

    def _check_decision(self, decision: GroupDecision, groups: Sequence[GroupResult]) -> None:
        if decision.hold or len(decision.train) != len(groups):
            raise UserError(
                f"selector {self.name} holds or discards groups after their rollouts, and {self.trainer} trains on all "
                f"that it samples; {CHOOSE}"
            )

    def metrics(self) -> dict[str, float]:
        """Return the selector's metrics of its last choice that are known, as selector/NAME."""
        return {f"selector/{name}": value for name, value in self.selector.metrics().items() if math.isfinite(value)}

    def state_dict(self) -> dict[str, Any]:
        """Return the state as values that JSON can store."""
        return {
            "selector": self.name,
            "options": self.options,
            "step": self.step,
            "observed": self.observed,
            "state": self.selector.state_dict(),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore what state_dict returned, into a new selector.

        A trainer that saves between the choice and the rewards of a step leaves these out of the state; they are read
        from the log.

        Raises:
            UserError: If the state is of another selector, or the log lacks the rewards that the state left out.
        """
        saved, here = (state["selector"], state["options"]), (self.name, self.options)
        if saved != here:
            raise UserError(
                f"the checkpoint is of selector {saved[0]} {saved[1]}, and not of {here[0]} {here[1]}; name the "
                "checkpoint's to resume"
            )
        self.selector = make_selector(self.name, self.setup, self.options)
        self.selector.load_state_dict(state["state"])
        self.step, self.observed = state["step"], state["observed"]
        missing = [logged for logged in (self.log.read() if self.log else []) if self._is_missing(logged.step)]
        if self.observed < self.step and not missing:
            raise UserError(
                f"{self.log.path if self.log else 'log'}: has no rewards of step {self.step - 1}, and the checkpoint "
                "was saved before them; resume from an older checkpoint"
            )
        for step in sorted({logged.step for logged in missing}):
            self._learn(step, [logged.group for logged in missing if logged.step == step])

    def _is_missing(self, step: int) -> bool:
        return self.observed <= step < self.step


def features_of(vectors: Features | None, pool_size: int) -> Callable[[str], Features]:
    """Return Setup.features for the vectors that a user gives, or gives not.

    Args:
        vectors: A unit vector for each prompt, [prompts, dimensions].
        pool_size: The number of prompts.

    Raises:
        UserError: If there is not one vector for each prompt; and, once a selector asks, if there are none.
    """
    if vectors is not None and len(vectors) != pool_size:
        raise UserError(f"features: {len(vectors)} vectors are not one for each of the {pool_size} prompts")

    def features(kind: str) -> Features:
        if vectors is None:
            raise UserError(f"similarity {kind!r} needs `features`, a unit vector for each prompt")
        return vectors

    return features
