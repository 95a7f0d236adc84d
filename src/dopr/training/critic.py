"""PPO's critic: a value function that gives every token its own advantage (arXiv 1707.06347 and 1506.02438).

This is the simplest form of PPO. The value function is a separate network in float32: the starting policy's trunk with
a linear head that starts at zero. The only reward is that of the rollout, at its last token. A completion truncated at
the token limit counts as ended there. Advantages are whitened over the batch. The value loss is clipped as in PPO's
first implementation.

PPO is the second algorithm of 1-shot RLVR (arXiv 2504.20571), whose PPO settings we do not know. Departures from common
practice: the KL term is in the loss and not in the reward, and the advantages of replayed rollouts are estimated anew
when they are sampled from the replay buffer.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from dopr.config.recipe import Critic as Settings
from dopr.config.recipe import Recipe
from dopr.models.logprobs import to_padded_rows
from dopr.models.network import Policy, completion_states, layers_of, takes_packed
from dopr.models.packing import pack
from dopr.runtime.distributed import all_gather, rank_share, shard
from dopr.training.micro_batches import split_micro_batches
from dopr.training.optimiser import Optimiser
from dopr.training.update import CriticOutput, TrainingSample, pad_like

WHITENING_EPSILON = 1e-8  # added to the variance


class ValueNetwork(nn.Module):
    """The expected reward of a completion, given the prompt and the completion's first tokens."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.trunk = deepcopy(policy.network.base_model)
        self.head = nn.Linear(policy.config.hidden_size, 1, device=policy.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, samples: Sequence[TrainingSample]) -> tuple[Tensor, Tensor]:
        """Return the value before each completion token, and the mask of tokens, both [samples, length]."""
        prompts = [sample.rollout.prompt_tokens for sample in samples]
        completions = [sample.rollout.tokens for sample in samples]
        batch = pack(prompts, completions, takes_packed(self.trunk)).to(self.head.weight.device, self.trunk.dtype)
        hidden = completion_states(self.trunk, batch)
        return to_padded_rows(self.head(hidden).squeeze(-1), batch.mask), batch.mask


class Critic:
    """The value network and its optimiser, made from the starting policy."""

    def __init__(self, policy: Policy, recipe: Recipe, settings: Settings) -> None:
        self.settings, self.micro_batch_tokens = settings, recipe.micro_batch_tokens
        self.network = ValueNetwork(policy)
        shard(self.network, layers_of(self.network.trunk))
        self.optimiser = Optimiser(self.network, recipe, settings.learning_rate, torch.float32)

    def estimate_advantages(self, samples: Sequence[TrainingSample]) -> list[TrainingSample]:
        """Return the samples with an advantage for each token, from the present values, whitened over these samples."""
        if not samples:
            return []
        values = self._values(samples)
        advantages = [
            gae(sample.rollout.reward, row, self.settings.discount, self.settings.gae_lambda)
            for sample, row in zip(samples, values, strict=True)
        ]
        returns = [[a + v for a, v in zip(*rows, strict=True)] for rows in zip(advantages, values, strict=True)]
        outputs = [CriticOutput(*map(tuple, rows)) for rows in zip(whiten(advantages), returns, values, strict=True)]
        return [
            replace(sample, advantage=sum(row) / len(row), critic_output=output)
            for sample, row, output in zip(samples, advantages, outputs, strict=True)
        ]

    @torch.no_grad()
    def _values(self, samples: Sequence[TrainingSample]) -> list[list[float]]:
        """Return the value before each completion token of each sample."""
        values: dict[int, list[float]] = {}
        for indices, micro_batch, _ in self._micro_batches(samples):
            rows, mask = self.network(micro_batch)
            unpadded = (row[is_token].tolist() for row, is_token in zip(rows, mask, strict=True))
            values.update(zip(indices, unpadded, strict=True))
        gathered = {index: row for rank_values in all_gather(values) for index, row in rank_values.items()}
        return [gathered[i] for i in range(len(samples))]

    def learn(self, samples: Sequence[TrainingSample], step: int) -> float:
        """Make one optimiser step of the value network on samples with estimates, and return its loss.

        Raises:
            FloatingPointError: The loss or its gradient is not finite.
        """
        tokens = sum(len(sample.rollout.tokens) for sample in samples)
        losses = (self._loss(micro_batch, tokens) * weight for _, micro_batch, weight in self._micro_batches(samples))
        loss, _ = self.optimiser.step(losses, step)
        return loss

    def _loss(self, micro_batch: Sequence[TrainingSample], tokens: int) -> Tensor:
        """Return what a micro-batch adds to the loss of a mini-batch of `tokens`."""
        values, mask = self.network(micro_batch)
        outputs = [sample.critic_output for sample in micro_batch if sample.critic_output]
        old_values = pad_like([output.values for output in outputs], mask)
        returns = pad_like([output.returns for output in outputs], mask)
        return value_loss(values, old_values, returns, mask, self.settings.clip, tokens)

    def _micro_batches(
        self, samples: Sequence[TrainingSample]
    ) -> Iterator[tuple[Sequence[int], list[TrainingSample], float]]:
        """Yield this rank's share of each micro-batch: the samples' indices, the samples, and their loss weight."""
        for indices in split_micro_batches([sample.rollout for sample in samples], self.micro_batch_tokens):
            rank_indices, weight = rank_share(indices)
            yield rank_indices, [samples[i] for i in rank_indices], weight

    def state_dict(self) -> dict[str, Any]:
        """Return the state of network and optimiser."""
        return self.optimiser.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned."""
        self.optimiser.load_state_dict(state)


def gae(reward: float, values: Sequence[float], discount: float, gae_lambda: float) -> list[float]:
    """Estimate the advantages of a completion whose reward comes with its last token (arXiv 1506.02438, equation 16).

    A_t = delta_t + discount gae_lambda A_{t+1}, where delta_t = r_t + discount V_{t+1} - V_t. A and V are 0 after the
    last token.

    Args:
        values: The value before each token.
    """
    advantages: list[float] = []
    next_value, next_advantage = 0.0, 0.0
    for t, value in reversed(list(enumerate(values))):
        token_reward = reward if t == len(values) - 1 else 0.0
        next_advantage = token_reward + discount * next_value - value + discount * gae_lambda * next_advantage
        next_value = value
        advantages.append(next_advantage)
    return advantages[::-1]


def whiten(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Shift and scale numbers to mean 0 and variance 1 over all rows (n - 1 in the denominator of the variance).

    A single number is returned unchanged.
    """
    flat = torch.tensor([value for row in rows for value in row], dtype=torch.float64)
    if len(flat) > 1:
        flat = (flat - flat.mean()) / (flat.var() + WHITENING_EPSILON).sqrt()
    return [part.tolist() for part in flat.split([len(row) for row in rows])]


def value_loss(values: Tensor, old_values: Tensor, returns: Tensor, mask: Tensor, clip: float, tokens: int) -> Tensor:
    """Return half the mean over tokens of max((v - R)^2, (clip(v, v_old - clip, v_old + clip) - R)^2).

    Args:
        values: v, [samples, length], as are v_old, R and the mask.
        old_values: v_old, the values when the advantages were estimated.
        returns: R.
        tokens: The number of tokens of the mini-batch, over which the mean is.
    """
    clipped = old_values + (values - old_values).clamp(-clip, clip)
    errors = torch.maximum((values - returns) ** 2, (clipped - returns) ** 2)
    return (errors * mask).sum() / tokens / 2
