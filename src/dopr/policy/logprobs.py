"""Log-probabilities of given completions under the policy."""

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
    """Log-probabilities [rows, longest completion] in float32 at the sampling temperature, and which are real.

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
    scores = (policy.logits(before).float() / temperature).log_softmax(-1)
    return scores.gather(-1, ids.gather(1, places)[..., None]).squeeze(-1), mask
