"""Log-probabilities of given completions under the policy, and the entropy of the distributions behind them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dopr.models.network import Policy, takes_packed
from dopr.models.packing import pack


def completion_logprobs(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities [rows, longest completion] in float32 at the sampling temperature, and which are real."""

    def score(logits: Tensor, tokens: Tensor) -> Tensor:
        scores = (logits.float() / temperature).log_softmax(-1)
        return scores.gather(-1, tokens[:, None]).squeeze(-1)

    batch = pack(prompts, completions, takes_packed(policy.network))
    mask = batch.mask.to(policy.device)
    return to_padded_rows(policy(batch, score), mask), mask


def logprobs_and_entropy(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    temperature: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same with, between the two, the entropy in nats of the distribution each token was drawn from."""

    def score(logits: Tensor, tokens: Tensor) -> Tensor:
        scores = (logits.float() / temperature).log_softmax(-1)
        entropy = -(scores.exp() * scores).sum(-1)
        return torch.stack([scores.gather(-1, tokens[:, None]).squeeze(-1), entropy], -1)

    batch = pack(prompts, completions, takes_packed(policy.network))
    mask = batch.mask.to(policy.device)
    logprobs, entropy = policy(batch, score).unbind(-1)
    return to_padded_rows(logprobs, mask), to_padded_rows(entropy, mask), mask


def to_padded_rows(values: Tensor, mask: Tensor) -> Tensor:
    """Values [tokens], row after row, at their places [rows, longest], with zeros behind."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)
