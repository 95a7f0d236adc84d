"""What learns from rollouts: the policy with its optimiser, and critic and replay buffer where there are any."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch

from dopr.config.recipe import Recipe
from dopr.config.schema import SamplingParams
from dopr.models.logprobs import completion_logprobs
from dopr.models.lora import add_adapters
from dopr.models.network import Policy, checkpoint_layers
from dopr.records import Rollout, derive_seed
from dopr.runtime.distributed import shard
from dopr.training.advantages import compute_advantages
from dopr.training.critic import Critic
from dopr.training.optimiser import Optimiser
from dopr.training.replay_buffer import ReplayBuffer
from dopr.training.update import LogprobGap, Objective, TrainingSample, UpdateStatistics, update


class Learner:
    """The updates that follow a rollout step; the policy is changed in place.

    Made with the starting policy, which is given adapters where the recipe says so, cast to the recipe's dtype and, for
    the KL term, copied; with adapters it is its own reference (see collect). A critic has adapters if the policy has.
    """

    def __init__(self, policy: Policy, recipe: Recipe, sampling: SamplingParams, seed: int) -> None:
        self.policy, self.recipe, self.seed = policy, recipe, seed
        if recipe.gradient_checkpointing:
            checkpoint_layers(policy.network)
        if recipe.lora:
            add_adapters(policy.network, recipe.lora, seed)
        self.critic = Critic(policy, recipe, recipe.critic) if recipe.critic else None
        dtype = getattr(torch, recipe.dtype)
        reference = starting_policy(policy, recipe, dtype) if recipe.loss.kl > 0 else None
        shard(policy, policy.layers)
        self.optimiser = Optimiser(policy, recipe, recipe.learning_rate, dtype)
        self.replay = ReplayBuffer(recipe.reuse, seed) if recipe.reuse else None
        self.objective = Objective(
            recipe.loss, sampling.temperature, sampling.max_new_tokens, reference, recipe.micro_batch_tokens
        )

    def learn(self, groups: Sequence[Sequence[Rollout]], step: int) -> tuple[UpdateStatistics, int]:
        """The optimiser steps of one training step; their statistics, and how many there were.

        A mini-batch that no term can learn from makes no step. Weight decay acts in the steps there are.

        Raises:
            RewardError: a reward is not finite.
            FloatingPointError: the policy diverged.
        """
        fresh = self._weigh(groups, step)
        done: list[UpdateStatistics] = []
        for rows, share in self._batches([row for group in fresh for row in group], step):
            value_loss = self.critic.learn(rows, step) if self.critic else 0.0
            used = self.objective.used(rows)
            if used:
                unchecked = not done and not any(row.fresh for row in used)
                gap = self._spot_check(groups) if unchecked else None
                found = update(self.policy, self.optimiser, rows, self.objective, share, step)
                done.append(replace(found, value_loss=value_loss, gap=gap or found.gap))
        if self.replay:
            for group in fresh:
                self.replay.add(group)
        return summary(done), len(done)

    def _weigh(self, groups: Sequence[Sequence[Rollout]], step: int) -> list[list[TrainingSample]]:
        """The rollouts with their advantages, of the group or from the critic."""
        weighed = compute_advantages(groups, self.recipe.loss, self.objective.limit, step)
        if self.critic is None:
            return weighed
        assessed = iter(self.critic.assess([row for group in weighed for row in group]))
        return [[next(assessed) for _ in group] for group in weighed]

    def _batches(self, new: Sequence[TrainingSample], step: int) -> Iterator[tuple[list[TrainingSample], float]]:
        """The mini-batches of a step's passes, each with its share of the pass's tokens.

        A pass is over the new rollouts, with replayed ones beside them where there is replay; a draw is for one pass.
        """
        count = self.recipe.minibatches
        for turn in range(self.recipe.epochs * (self.replay.settings.updates if self.replay else 1)):
            rows = [*new, *self._replayed(step, turn)]
            share = self.objective.tokens(rows) / count
            for part in split(rows, count, derive_seed(self.seed, "minibatches", step, turn)):
                yield part, share

    def _replayed(self, step: int, turn: int) -> list[TrainingSample]:
        """The rows drawn for one pass; a critic values them as it would new ones."""
        rows = self.replay.draw(step, turn) if self.replay else []
        return self.critic.assess(rows) if self.critic else rows

    @torch.no_grad()
    def _spot_check(self, groups: Sequence[Sequence[Rollout]]) -> LogprobGap:
        """The log-probability gap on the first new rollout, for a first update that computes only replayed rows."""
        rollout = next((rollout for group in groups for rollout in group), None)
        if rollout is None:
            return LogprobGap()
        prompts, tokens = [rollout.prompt_tokens], [rollout.tokens]
        logprobs, _ = completion_logprobs(self.policy, prompts, tokens, self.objective.temperature)
        return LogprobGap.of([(logprobs[0].cpu() - torch.tensor(rollout.logprobs)).abs().numpy()])

    def state_dict(self) -> dict[str, Any]:
        """Policy with optimiser, critic and replay."""
        return {
            "policy": self.optimiser.state_dict(),
            "critic": self.critic.state_dict() if self.critic else {},
            "replay": self.replay.state_dict() if self.replay else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        self.optimiser.load_state_dict(state["policy"])
        if self.critic:
            self.critic.load_state_dict(state["critic"])
        if self.replay:
            self.replay.load_state_dict(state["replay"])


def starting_policy(policy: Policy, recipe: Recipe, dtype: torch.dtype) -> Policy:
    """A frozen copy; the policy itself where it has adapters, which can be turned off."""
    if recipe.lora:
        return policy
    copy = deepcopy(policy).requires_grad_(False).to(dtype)
    shard(copy, copy.layers)
    return copy


def summary(done: Sequence[UpdateStatistics]) -> UpdateStatistics:
    """Means over a step's updates, but for the log-probability gap: the first's, before the policy moved."""
    if not done:
        return UpdateStatistics()

    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(done)

    return UpdateStatistics(
        grad_norm=mean(each.grad_norm for each in done),
        clipped=mean(each.clipped for each in done),
        gap=done[0].gap,
        kl=mean(each.kl for each in done),
        value_loss=mean(each.value_loss for each in done),
    )


def split(rows: Sequence[TrainingSample], count: int, seed: int) -> list[list[TrainingSample]]:
    """`count` mini-batches of nearly equally many random rows, less the empty ones; a single one keeps the order."""
    order = random.Random(seed).sample(range(len(rows)), len(rows)) if count > 1 else range(len(rows))
    parts = [[rows[i] for i in order[start::count]] for start in range(count)]
    return [part for part in parts if part]
