"""Log-probabilities of given completions under the policy, and the entropy of its distributions."""

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
    """Compute log-probabilities of the completion tokens in float32, at the sampling temperature.

    Returns:
        The log-probabilities, and the mask of tokens, both [rows, longest completion].
    """

    def score(logits: Tensor, tokens: Tensor) -> Tensor:
        logprobs = (logits.float() / temperature).log_softmax(-1)
        return logprobs.gather(-1, tokens[:, None]).squeeze(-1)

    batch = pack(prompts, completions, takes_packed(policy.network))
    mask = batch.mask.to(policy.device)
    return to_padded_rows(policy(batch, score), mask), mask


def logprobs_and_entropy(
    policy: Policy,
    prompts: Sequence[Sequence[int]],
    completions: Sequence[Sequence[int]],
    temperature: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """Compute log-probabilities as completion_logprobs does, and entropies.

    Returns:
        The log-probabilities; the entropy in nats of the policy's distribution at each token; and the mask.
    """

    def score(logits: Tensor, tokens: Tensor) -> Tensor:
        logprobs = (logits.float() / temperature).log_softmax(-1)
        entropy = -(logprobs.exp() * logprobs).sum(-1)
        return torch.stack([logprobs.gather(-1, tokens[:, None]).squeeze(-1), entropy], -1)

    batch = pack(prompts, completions, takes_packed(policy.network))
    mask = batch.mask.to(policy.device)
    chosen, entropy = policy(batch, score).unbind(-1)
    return to_padded_rows(chosen, mask), to_padded_rows(entropy, mask), mask


def to_padded_rows(values: Tensor, mask: Tensor) -> Tensor:
    """Return values [tokens] as rows padded with zeros on the right, in the shape of the mask."""
    return values.new_zeros(mask.shape).masked_scatter(mask, values)
