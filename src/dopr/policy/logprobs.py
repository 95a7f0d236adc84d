"""Log-probabilities of given completions under the policy, and the entropy of the distributions behind them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from dopr.policy.transformer import Transformer


def completion_logprobs(
    policy: Transformer,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    temperature: float,
) -> tuple[Tensor, Tensor]:
    """Log-probabilities [rows, longest completion] in float32 at the sampling temperature, and which are real."""
    hidden, tokens, mask = completion_states(policy, prompts, completions)
    scores = (policy.logits(hidden).float() / temperature).log_softmax(-1)
    return scores.gather(-1, tokens[..., None]).squeeze(-1), mask


def logprobs_and_entropy(
    policy: Transformer,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    temperature: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """The same with, between the two, the entropy in nats of the distribution each token was drawn from."""
    hidden, tokens, mask = completion_states(policy, prompts, completions)
    scores = (policy.logits(hidden).float() / temperature).log_softmax(-1)
    entropy = -(scores.exp() * scores).sum(-1)
    return scores.gather(-1, tokens[..., None]).squeeze(-1), entropy, mask


def completion_states(
    policy: Transformer, prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]
) -> tuple[Tensor, Tensor, Tensor]:
    """The hidden state before each completion token [rows, longest completion, hidden size], the tokens, and which
    are real.

    Rows are padded on the right, where a causal model needs no mask; what lies beyond a completion is masked out.
    """
    rows = [[*prompt, *completion] for prompt, completion in zip(prompts, completions, strict=True)]
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    starts = torch.tensor([len(prompt) for prompt in prompts])
    lengths = torch.tensor([len(completion) for completion in completions])
    steps = torch.arange(int(lengths.max()))
    mask = steps < lengths[:, None]
    places = (starts[:, None] + steps).clamp_max(longest - 1)
    hidden = policy(ids)
    before = hidden.gather(1, (places - 1)[..., None].expand(-1, -1, hidden.shape[-1]))
    return before, ids.gather(1, places), mask
