"""Log-probabilities of given completions under the policy, and the entropy of the distributions behind them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dopr.policy.layout import read_together
from dopr.policy.transformer import Transformer


def completion_logprobs(
    policy: Transformer,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities [rows, longest completion] in float32 at the sampling temperature, and which are real."""

    def score(logits: Tensor, tokens: Tensor) -> Tensor:
        scores = (logits.float() / temperature).log_softmax(-1)
        return scores.gather(-1, tokens[:, None]).squeeze(-1)

    hidden, tokens, mask = completion_states(policy, prompts, completions)
    return in_rows(policy.through_head(score, hidden, tokens), mask), mask


def logprobs_and_entropy(
    policy: Transformer,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    temperature: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same with, between the two, the entropy in nats of the distribution each token was drawn from."""

    def score(logits: Tensor, tokens: Tensor) -> Tensor:
        scores = (logits.float() / temperature).log_softmax(-1)
        entropy = -(scores.exp() * scores).sum(-1)
        return torch.stack([scores.gather(-1, tokens[:, None]).squeeze(-1), entropy], -1)

    hidden, tokens, mask = completion_states(policy, prompts, completions)
    logprobs, entropy = policy.through_head(score, hidden, tokens).unbind(-1)
    return in_rows(logprobs, mask), in_rows(entropy, mask), mask


def completion_states(
    policy: Transformer, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """The hidden state before each completion token [tokens, hidden size], row after row, the tokens, and which places
    [rows, longest completion] they have.

    Each distinct prompt is read once, for all its completions (see dopr.policy.layout, also for the spare tokens at
    the end).
    """
    reading = read_together(prompts, completions).to(policy.device)
    lengths = torch.tensor([len(completion) for completion in completions])
    mask = (torch.arange(int(lengths.max())) < lengths[:, None]).to(policy.device)
    return policy.read(reading.layout).index_select(0, reading.before), reading.targets, mask


def in_rows(values: Tensor, mask: Tensor) -> Tensor:
    """Values [tokens], row after row, at their places [rows, longest], with zeros behind."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)
