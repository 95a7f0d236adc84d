"""PPO's critic: a value function that gives every token its own advantage (arXiv 1707.06347 and 1506.02438).

The simplest form that is PPO: a network of its own, the starting policy's trunk with a linear head that begins at
zero, in float32. The only reward is the rollout's, at its last token; a completion cut at the token limit counts as
ended there. Advantages are whitened over the batch. The value loss is clipped as in PPO's first implementation.

PPO is the second algorithm of 1-shot RLVR (arXiv 2504.20571); its settings there are not known to us. Departures from
common practice: the KL term is in the loss and not in the reward, and replayed rollouts are valued anew when they are
drawn.
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
from dopr.models.logprobs import in_rows
from dopr.models.network import Policy, completion_states, layers_of, takes_packed
from dopr.models.packing import pack
from dopr.runtime.distributed import all_gather, rank_share, shard
from dopr.training.micro_batches import split_micro_batches
from dopr.training.optimiser import Optimiser
from dopr.training.update import CriticOutput, TrainingSample, padded

WHITENING_EPSILON = 1e-8  # added to the variance


class ValueNetwork(nn.Module):
    """The expected reward of a completion, from its beginning so far."""

    def __init__(self, policy: Policy) -> None:
        super().__init__()
        self.trunk = deepcopy(policy.network.base_model)
        self.head = nn.Linear(policy.config.hidden_size, 1, device=policy.device)
        nn.init.zeros_(self.head.weight)
        nn.init.zeros_(self.head.bias)

    def forward(self, rows: Sequence[TrainingSample]) -> tuple[Tensor, Tensor]:
        """The value before each completion token [rows, longest completion], and which are real."""
        prompts, completions = [row.rollout.prompt_tokens for row in rows], [row.rollout.tokens for row in rows]
        batch = pack(prompts, completions, takes_packed(self.trunk)).to(self.head.weight.device, self.trunk.dtype)
        hidden = completion_states(self.trunk, batch)
        return in_rows(self.head(hidden).squeeze(-1), batch.mask), batch.mask


class Critic:
    """The value network and its optimiser; `policy` is the starting policy."""

    def __init__(self, policy: Policy, recipe: Recipe, settings: Settings) -> None:
        self.settings, self.micro_batch_tokens = settings, recipe.micro_batch_tokens
        self.network = ValueNetwork(policy)
        shard(self.network, layers_of(self.network.trunk))
        self.optimiser = Optimiser(self.network, recipe, settings.learning_rate, torch.float32)

    @torch.no_grad()
    def assess(self, rows: Sequence[TrainingSample]) -> list[TrainingSample]:
        """The rows with their tokens' advantages by the values held now, whitened over these rows."""
        if not rows:
            return []
        values: dict[int, list[float]] = {}
        for places, part, _ in self._parts(rows):
            found, mask = self.network(part)
            values.update(zip(places, (row[real].tolist() for row, real in zip(found, mask, strict=True)), strict=True))
        values = {place: value for each in all_gather(values) for place, value in each.items()}
        held = [values[i] for i in range(len(rows))]
        raw = [
            advantages(row.rollout.reward, estimates, self.settings.discount, self.settings.gae_lambda)
            for row, estimates in zip(rows, held, strict=True)
        ]
        returns = [[a + v for a, v in zip(*pair, strict=True)] for pair in zip(raw, held, strict=True)]
        estimates = [CriticOutput(*map(tuple, parts)) for parts in zip(whitened(raw), returns, held, strict=True)]
        return [
            replace(row, advantage=sum(own) / len(own), estimate=estimate)
            for row, own, estimate in zip(rows, raw, estimates, strict=True)
        ]

    def learn(self, rows: Sequence[TrainingSample], step: int) -> float:
        """One step of the value network on assessed rows; returns its loss.

        Raises:
            FloatingPointError: the loss or its gradient is not finite.
        """
        tokens = sum(len(row.rollout.tokens) for row in rows)
        losses = (self._loss(part, tokens) * weight for _, part, weight in self._parts(rows))
        loss, _ = self.optimiser.step(losses, step)
        return loss

    def _loss(self, rows: Sequence[TrainingSample], tokens: int) -> Tensor:
        """What some rows add to the loss of a mini-batch of `tokens`."""
        values, mask = self.network(rows)
        estimates = [row.estimate for row in rows if row.estimate]
        before = padded([estimate.values for estimate in estimates], mask)
        returns = padded([estimate.returns for estimate in estimates], mask)
        return value_loss(values, before, returns, mask, self.settings.clip, tokens)

    def _parts(self, rows: Sequence[TrainingSample]) -> Iterator[tuple[Sequence[int], list[TrainingSample], float]]:
        """The micro-batches, or this process's share of each: the rows' places, the rows, and their weight."""
        for places in split_micro_batches([row.rollout for row in rows], self.micro_batch_tokens):
            mine, weight = rank_share(places)
            yield mine, [rows[place] for place in mine], weight

    def state_dict(self) -> dict[str, Any]:
        """Network and optimiser."""
        return self.optimiser.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        self.optimiser.load_state_dict(state)


def advantages(reward: float, values: Sequence[float], discount: float, gae_lambda: float) -> list[float]:
    """Generalised advantage estimates of a completion whose reward comes with its last token.

    A_t = delta_t + discount gae_lambda A_{t+1}, delta_t = r_t + discount V_{t+1} - V_t, and 0 beyond the end.
    values: before each token.
    """
    found: list[float] = []
    following, later = 0.0, 0.0  # value and advantage of the next token
    for place, value in reversed(list(enumerate(values))):
        now = reward if place == len(values) - 1 else 0.0
        later = now + discount * following - value + discount * gae_lambda * later
        following = value
        found.append(later)
    return found[::-1]


def whitened(rows: Sequence[Sequence[float]]) -> list[list[float]]:
    """Rows of numbers with mean 0 and variance 1 (n - 1 in the denominator) over all of them; a single one as it is."""
    flat = torch.tensor([value for row in rows for value in row], dtype=torch.float64)
    if len(flat) > 1:
        flat = (flat - flat.mean()) / (flat.var() + WHITENING_EPSILON).sqrt()
    return [part.tolist() for part in flat.split([len(row) for row in rows])]


def value_loss(values: Tensor, before: Tensor, returns: Tensor, mask: Tensor, clip: float, tokens: int) -> Tensor:
    """Half the mean of max((v - R)^2, (v clipped to before +- clip, - R)^2) over the `tokens` of a mini-batch."""
    bounded = before + (values - before).clamp(-clip, clip)
    errors = torch.maximum((values - returns) ** 2, (bounded - returns) ** 2)
    return (errors * mask).sum() / tokens / 2
