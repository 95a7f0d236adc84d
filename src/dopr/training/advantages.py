"""Advantages of a step's rollouts from their rewards.

Within a group, (r - mean) / (std + epsilon), std with n - 1 in the denominator (GRPO, arXiv 2402.03300, as in TRL and
the 1-shot RLVR code); Dr. GRPO (arXiv 2503.20783) leaves the division out. DAPO (arXiv 2503.14476) also lowers the
reward of completions near the token limit. Rejection-sampling fine-tuning has no advantages: it keeps what was
rewarded. Its source (arXiv 2308.01825) samples once from a fixed policy and drops duplicates; here it is done anew in
every step, from the policy as it is.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

import torch

from dopr.config.recipe import Loss
from dopr.errors import RewardError
from dopr.records import Rollout
from dopr.training.update import TrainingSample


def compute_advantages(
    groups: Sequence[Sequence[Rollout]], loss: Loss, limit: int, step: int
) -> list[list[TrainingSample]]:
    """Every group's rollouts with their advantages; limit: most tokens of a completion.

    For rft, the rollouts with a positive reward, each with advantage 1; a group may be left empty.

    Raises:
        RewardError: a reward is not finite.
    """
    checked = [[shaped_rewards(rollout, loss, limit, step) for rollout in group] for group in groups]
    if loss.variant == "rft":
        return [
            [TrainingSample(rollout, 1.0, fresh=True) for rollout in group if rollout.reward > 0] for group in checked
        ]
    rewards = [[rollout.reward for rollout in group] for group in checked]
    advantages = group_advantages(rewards, loss.scale, loss.advantage_epsilon)
    return [
        [TrainingSample(rollout, advantage, fresh=True) for rollout, advantage in zip(*pair, strict=True)]
        for pair in zip(checked, advantages, strict=True)
    ]


def shaped_rewards(rollout: Rollout, loss: Loss, limit: int, step: int) -> Rollout:
    """The rollout with the reward that is learned from; the ledger and the selector have the one it was given.

    Raises:
        RewardError: the reward is not finite.
    """
    if not math.isfinite(rollout.reward):
        raise RewardError(
            f"step {step + 1}: sample {rollout.sample} of prompt {rollout.prompt.id} has reward {rollout.reward}; "
            "mend the reward function: a reward must be finite"
        )
    penalty = overlong_penalty(len(rollout.tokens), limit, loss.overlong_buffer)
    return replace(rollout, reward=rollout.reward + penalty) if penalty else rollout


def overlong_penalty(length: int, limit: int, buffer: int) -> float:
    """0 up to limit - buffer tokens, then falling linearly to -1 at the limit (DAPO, equation 13)."""
    return -max(0.0, length - (limit - buffer)) / buffer if buffer else 0.0


def group_advantages(
    groups: Sequence[Sequence[float]], scale: Literal["group", "batch", "none"], epsilon: float
) -> list[list[float]]:
    """Rewards less their group's mean, divided by (std + epsilon), the std of the group or of the whole batch, or not
    at all. Exactly zero where a group's rewards agree: such a group carries no signal."""
    batch = deviation([reward for group in groups for reward in group])
    advantages = []
    for group in groups:
        values = torch.tensor(list(group), dtype=torch.float64)
        divisor = {"group": deviation(group) + epsilon, "batch": batch + epsilon, "none": 1.0}[scale]
        centred = values - values.mean() if len(set(group)) > 1 else torch.zeros_like(values)
        advantages.append((centred / divisor).tolist())
    return advantages


def deviation(rewards: Sequence[float]) -> float:
    """Standard deviation with n - 1 in the denominator; 0 of a single reward."""
    return float(torch.tensor(list(rewards), dtype=torch.float64).std()) if len(rewards) > 1 else 0.0
