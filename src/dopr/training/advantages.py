"""Advantages of a step's rollouts from their rewards.

Within a group, (reward - mean) / (std + epsilon), with n - 1 in the denominator of std: GRPO (arXiv 2402.03300), as in
TRL and the 1-shot RLVR code. Dr. GRPO (arXiv 2503.20783) does not divide. DAPO (arXiv 2503.14476) also lowers the
reward of completions near the token limit.

Rejection-sampling fine-tuning (arXiv 2308.01825) has no advantages: it trains on rewarded completions. Its authors
sample once from a fixed policy and drop duplicates; here each step samples anew from the present policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from dopr.config.recipe import Loss
from dopr.records import Rollout
from dopr.training.group import Group
from dopr.training.update import TrainingSample


def compute_advantages(groups: Sequence[Group], loss: Loss, max_completion_length: int) -> list[list[TrainingSample]]:
    """Return the rollouts of every group with their advantages.

    For rft, only rollouts with a positive reward are returned, each with advantage 1; a group may then be empty.
    """
    shaped = [[shape_reward(rollout, loss, max_completion_length) for rollout in group.rollouts] for group in groups]
    rewards = [[rollout.reward for rollout in rollouts] for rollouts in shaped]
    if loss.variant == "rft":
        advantages = [[float(reward > 0) for reward in rewards_of_group] for rewards_of_group in rewards]
    else:
        advantages = group_advantages(rewards, loss.scale, loss.advantage_epsilon)
    samples = [
        [
            TrainingSample(rollout, advantage, fresh=i >= len(rollouts) - len(group.new))
            for i, (rollout, advantage) in enumerate(zip(rollouts, advantages_of_group, strict=True))
        ]
        for group, rollouts, advantages_of_group in zip(groups, shaped, advantages, strict=True)
    ]
    if loss.variant == "rft":
        return [[sample for sample in samples_of_group if sample.advantage] for samples_of_group in samples]
    return samples


def shape_reward(rollout: Rollout, loss: Loss, max_completion_length: int) -> Rollout:
    """Return the rollout with the overlong penalty in its reward; ledger and selector have the reward without it."""
    penalty = overlong_penalty(len(rollout.tokens), max_completion_length, loss.overlong_buffer)
    return replace(rollout, reward=rollout.reward + penalty) if penalty else rollout


def overlong_penalty(length: int, max_completion_length: int, buffer: int) -> float:
    """Return 0 up to `buffer` tokens before the limit, then falling linearly to -1 at it (DAPO, equation 13)."""
    return -max(0.0, length - (max_completion_length - buffer)) / buffer if buffer else 0.0


def group_advantages(
    groups: Sequence[Sequence[float]], scale: Literal["group", "batch", "none"], epsilon: float
) -> list[list[float]]:
    """Return the advantages of each group's rewards.

    They are exactly zero, without rounding, in a group whose rewards are equal: it is uninformative.

    Args:
        groups: Rewards, [prompts, samples].
        scale: Whether to divide by the std of the group, of the whole batch, or not at all.
        epsilon: Is added to the std.
    """
    batch_std = standard_deviation([reward for group in groups for reward in group])
    advantages = []
    for group in groups:
        rewards = torch.tensor(list(group), dtype=torch.float64)
        divisor = {"group": standard_deviation(group) + epsilon, "batch": batch_std + epsilon, "none": 1.0}[scale]
        centred = rewards - rewards.mean() if len(set(group)) > 1 else torch.zeros_like(rewards)
        advantages.append((centred / divisor).tolist())
    return advantages


def standard_deviation(rewards: Sequence[float]) -> float:
    """Return the standard deviation with n - 1 in the denominator; that of a single reward is 0."""
    return float(torch.tensor(list(rewards), dtype=torch.float64).std()) if len(rewards) > 1 else 0.0
