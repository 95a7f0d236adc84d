"""What learns from rollouts: the policy with its optimiser, and the replay buffer where there is one."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dopr.config import Recipe
from dopr.policy.loss import group_advantages
from dopr.policy.replay import ReplayBuffer
from dopr.policy.transformer import Transformer
from dopr.policy.update import UpdateStatistics, Weighted, make_optimiser, update
from dopr.records import Rollout


class Learner:
    """The updates that follow a rollout step; the policy is changed in place."""

    def __init__(self, policy: Transformer, recipe: Recipe, temperature: float, seed: int) -> None:
        self.policy, self.recipe, self.temperature = policy, recipe, temperature
        self.optimiser = make_optimiser(policy, recipe)
        self.replay = ReplayBuffer(recipe.reuse, seed) if recipe.reuse else None

    def learn(self, groups: Sequence[Sequence[Rollout]], step: int) -> tuple[UpdateStatistics, int]:
        """The optimiser steps of one training step; the statistics of the first, and how many there were.

        Raises:
            FloatingPointError: the policy diverged.
        """
        fresh = [self._weigh(group) for group in groups]
        done: list[UpdateStatistics] = []
        for rows in self._batches(fresh, step):
            if any(row.advantage for row in rows):
                done.append(update(self.policy, self.optimiser, rows, self.recipe, self.temperature, step))
        if self.replay:
            for group in fresh:
                self.replay.add(group)
        return (done[0] if done else UpdateStatistics()), len(done)

    def _weigh(self, group: Sequence[Rollout]) -> list[Weighted]:
        """A group's rollouts with their advantages."""
        advantages = group_advantages([rollout.reward for rollout in group], self.recipe.advantage_epsilon)
        return [Weighted(rollout, advantage, fresh=True) for rollout, advantage in zip(group, advantages, strict=True)]

    def _batches(self, fresh: Sequence[Sequence[Weighted]], step: int) -> Iterator[list[Weighted]]:
        """The batch of each update: the new rollouts, with replayed ones beside them where there is replay."""
        new = [row for group in fresh for row in group]
        if self.replay is None:
            yield new
            return
        for turn in range(self.replay.settings.updates):
            yield new + self.replay.draw(step, turn)

    def state_dict(self) -> dict[str, Any]:
        """Policy, optimiser and replay."""
        return {
            "policy": self.policy.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "replay": self.replay.state_dict() if self.replay else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        self.policy.load_state_dict(state["policy"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.replay:
            self.replay.load_state_dict(state["replay"])
