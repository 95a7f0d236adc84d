"""One optimiser step on weighted rollouts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from dopr.config import Recipe
from dopr.policy.logprobs import completion_logprobs
from dopr.policy.loss import clipped_loss
from dopr.policy.transformer import Transformer
from dopr.records import Rollout


@dataclass(frozen=True)
class Weighted:
    """A rollout and its advantage. fresh: drawn by the policy as it is now, not replayed."""

    rollout: Rollout
    advantage: float
    fresh: bool


@dataclass(frozen=True)
class UpdateStatistics:
    """grad_norm before clipping; clipped share of tokens; largest log-probability gap between sampler and trainer."""

    grad_norm: float = 0.0
    clipped: float = 0.0
    logprob_gap: float = 0.0


def make_optimiser(policy: Transformer, recipe: Recipe) -> torch.optim.AdamW:
    """AdamW as the recipe sets it."""
    return torch.optim.AdamW(
        policy.parameters(), lr=recipe.learning_rate, betas=recipe.betas, weight_decay=recipe.weight_decay
    )


def learning_rate(recipe: Recipe, step: int) -> float:
    """Linear warm-up over recipe.warmup_steps, and a linear fall to recipe.final_rate of it; steps count from 0."""
    warm = min(1.0, (step + 1) / max(1, recipe.warmup_steps))
    return recipe.learning_rate * warm * (1.0 - (1.0 - recipe.final_rate) * step / recipe.steps)


def update(
    policy: Transformer,
    optimiser: torch.optim.Optimizer,
    rows: Sequence[Weighted],
    recipe: Recipe,
    temperature: float,
    step: int,
) -> UpdateStatistics:
    """One step on `rows`; rows with zero advantage only count in the token mean. There must be one with another.

    Raises:
        FloatingPointError: the loss or its gradient is not finite.
    """
    used = [row for row in rows if row.advantage != 0.0]
    logprobs, mask = completion_logprobs(
        policy, [row.rollout.prompt_tokens for row in used], [row.rollout.tokens for row in used], temperature
    )
    behaviour = torch.zeros_like(logprobs)
    for i, row in enumerate(used):
        behaviour[i, : len(row.rollout.logprobs)] = torch.tensor(row.rollout.logprobs)
    terms = clipped_loss(
        logprobs,
        behaviour,
        torch.tensor([row.advantage for row in used], dtype=torch.float32),
        mask,
        recipe.clip,
        sum(len(row.rollout.tokens) for row in rows),
    )
    optimiser.zero_grad()
    terms.loss.backward()
    norm = float(torch.nn.utils.clip_grad_norm_(policy.parameters(), recipe.max_grad_norm))
    if not torch.isfinite(terms.loss) or not norm < float("inf"):
        raise FloatingPointError(
            f"step {step + 1}: the loss is {terms.loss.item()} and its gradient norm {norm}; lower learning_rate"
        )
    for group in optimiser.param_groups:
        group["lr"] = learning_rate(recipe, step)
    optimiser.step()
    fresh = torch.tensor([row.fresh for row in used])[:, None] & mask
    gap = ((logprobs - behaviour).detach().abs() * fresh).max()
    return UpdateStatistics(norm, terms.clipped, float(gap))
