"""Log-probabilities of given completions under the policy."""

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
    """Log-probabilities [rows, longest completion] in float32 at the sampling temperature, and which are real.

    Each distinct prompt is read once, for all its completions (see dopr.policy.layout); what lies beyond a completion
    is masked out, and 0.
    """
    reading = read_together(prompts, completions)
    hidden = policy.read(reading.layout).index_select(0, reading.before)
    scores = (policy.logits(hidden).float() / temperature).log_softmax(-1)
    lengths = torch.tensor([len(completion) for completion in completions])
    found = scores.gather(1, reading.targets[:, None])[: int(lengths.sum()), 0]
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    return found.new_zeros(mask.shape).masked_scatter(mask, found), mask
