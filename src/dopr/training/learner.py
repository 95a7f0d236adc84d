"""The trainable side of a run: the policy with its optimiser, and critic and replay buffer if the recipe has them."""

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
from dopr.records import derive_seed
from dopr.runtime.distributed import shard
from dopr.training.advantages import compute_advantages
from dopr.training.critic import Critic
from dopr.training.group import Group
from dopr.training.optimiser import Optimiser
from dopr.training.replay_buffer import ReplayBuffer
from dopr.training.update import LogprobGap, Objective, TrainingSample, UpdateStatistics, update


class Learner:
    """The updates of a training step; the policy is changed in place.

    It is made from the starting policy. That policy is given adapters if the recipe has them, and cast to the recipe's
    dtype. For the KL term it is copied; with adapters it is its own reference, with the adapters turned off
    (dopr.training.update.loss_inputs). The critic has adapters if the policy has.
    """

    def __init__(self, policy: Policy, recipe: Recipe, sampling: SamplingParams, seed: int) -> None:
        self.policy, self.recipe, self.seed = policy, recipe, seed
        if recipe.gradient_checkpointing:
            checkpoint_layers(policy.network)
        if recipe.lora:
            add_adapters(policy.network, recipe.lora, seed)
        self.critic = Critic(policy, recipe, recipe.critic) if recipe.critic else None
        dtype = getattr(torch, recipe.dtype)
        reference = make_reference(policy, recipe, dtype) if recipe.loss.kl > 0 else None
        shard(policy, policy.layers)
        self.optimiser = Optimiser(policy, recipe, recipe.learning_rate, dtype)
        self.replay = ReplayBuffer(recipe.reuse, seed) if recipe.reuse else None
        self.objective = Objective(
            recipe.loss, sampling.temperature, sampling.max_new_tokens, reference, recipe.micro_batch_tokens
        )

    def learn(self, groups: Sequence[Group], step: int) -> tuple[UpdateStatistics, int]:
        """Make the optimiser steps of one training step.

        A mini-batch without a gradient makes no optimiser step, so there is no weight decay either.

        Returns:
            The mean statistics of the optimiser steps, and their number.

        Raises:
            FloatingPointError: The policy diverged.
        """
        new_groups = self._compute_advantages(groups)
        statistics: list[UpdateStatistics] = []
        for minibatch, tokens_per_minibatch in self._minibatches([row for group in new_groups for row in group], step):
            value_loss = self.critic.learn(minibatch, step) if self.critic else 0.0
            contributing = self.objective.contributing(minibatch)
            if contributing:
                unchecked = not statistics and not any(sample.fresh for sample in contributing)
                gap = self._first_rollout_gap(groups) if unchecked else None
                result = update(self.policy, self.optimiser, minibatch, self.objective, tokens_per_minibatch, step)
                statistics.append(replace(result, value_loss=value_loss, gap=gap or result.gap))
        if self.replay:
            for group in new_groups:
                self.replay.add(group)
        return mean_statistics(statistics), len(statistics)

    def _compute_advantages(self, groups: Sequence[Group]) -> list[list[TrainingSample]]:
        """Return the rollouts with their advantages, within the group or from the critic."""
        samples = compute_advantages(groups, self.recipe.loss, self.objective.max_completion_length)
        if self.critic is None:
            return samples
        estimated = iter(self.critic.estimate_advantages([sample for group in samples for sample in group]))
        return [[next(estimated) for _ in group] for group in samples]

    def _minibatches(
        self, new_samples: Sequence[TrainingSample], step: int
    ) -> Iterator[tuple[list[TrainingSample], float]]:
        """Yield the mini-batches of all passes of a step, each with the mean tokens of a mini-batch of its pass.

        A pass is over the new samples and, with replay, over old ones that are drawn for this pass.
        """
        count = self.recipe.minibatches
        passes = self.recipe.epochs * (self.replay.settings.updates if self.replay else 1)
        for pass_index in range(passes):
            samples = [*new_samples, *self._replayed(step, pass_index)]
            tokens_per_minibatch = self.objective.completion_tokens(samples) / count
            seed = derive_seed(self.seed, "minibatches", step, pass_index)
            for minibatch in split_minibatches(samples, count, seed):
                yield minibatch, tokens_per_minibatch

    def _replayed(self, step: int, pass_index: int) -> list[TrainingSample]:
        """Draw the replayed samples of one pass; a critic estimates their advantages anew."""
        samples = self.replay.sample(step, pass_index) if self.replay else []
        return self.critic.estimate_advantages(samples) if self.critic else samples

    @torch.no_grad()
    def _first_rollout_gap(self, groups: Sequence[Group]) -> LogprobGap:
        """Return the log-probability gap of the first new rollout, for a first update that computes only older ones.

        Without it, such a step would not notice an engine with old weights.
        """
        rollout = next((rollout for group in groups for rollout in group.new), None)
        if rollout is None:
            return LogprobGap()
        prompts, completions = [rollout.prompt_tokens], [rollout.tokens]
        logprobs, _ = completion_logprobs(self.policy, prompts, completions, self.objective.temperature)
        return LogprobGap.from_differences([(logprobs[0].cpu() - torch.tensor(rollout.logprobs)).abs().numpy()])

    def state_dict(self) -> dict[str, Any]:
        """Return the state of policy, optimiser, critic and replay buffer."""
        return {
            "policy": self.optimiser.state_dict(),
            "critic": self.critic.state_dict() if self.critic else {},
            "replay": self.replay.state_dict() if self.replay else {},
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned."""
        self.optimiser.load_state_dict(state["policy"])
        if self.critic:
            self.critic.load_state_dict(state["critic"])
        if self.replay:
            self.replay.load_state_dict(state["replay"])


def make_reference(policy: Policy, recipe: Recipe, dtype: torch.dtype) -> Policy:
    """Return the reference model of the KL term: a frozen copy, or a policy with adapters itself."""
    if recipe.lora:
        return policy
    copy = deepcopy(policy).requires_grad_(False).to(dtype)
    shard(copy, copy.layers)
    return copy


def mean_statistics(statistics: Sequence[UpdateStatistics]) -> UpdateStatistics:
    """Average the statistics of a step's updates; the gap is that of the first, before the policy changed."""
    if not statistics:
        return UpdateStatistics()

    def mean(values: Iterable[float]) -> float:
        return sum(values) / len(statistics)

    return UpdateStatistics(
        grad_norm=mean(each.grad_norm for each in statistics),
        clipped=mean(each.clipped for each in statistics),
        gap=statistics[0].gap,
        kl=mean(each.kl for each in statistics),
        value_loss=mean(each.value_loss for each in statistics),
    )


def split_minibatches(samples: Sequence[TrainingSample], count: int, seed: int) -> list[list[TrainingSample]]:
    """Split samples at random into `count` mini-batches whose sizes differ by one at most.

    Empty mini-batches are left out. A single one keeps the order of the samples.
    """
    order = random.Random(seed).sample(range(len(samples)), len(samples)) if count > 1 else range(len(samples))
    minibatches = [[samples[i] for i in order[start::count]] for start in range(count)]
    return [minibatch for minibatch in minibatches if minibatch]
