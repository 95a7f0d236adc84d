"""Drawing tokens from logits, by inverting the cumulative distribution."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw(logits: Tensor, temperature: float, uniform: Tensor | None) -> tuple[Tensor, Tensor]:
    """One token a row [rows] and its log-probability, in float32, by a number in [0, 1) each [rows, 1].

    Greedy (temperature 0) needs no numbers, and reports the log-probabilities of temperature 1.
    """
    scores = (logits.float() / (temperature or 1.0)).log_softmax(-1)
    if uniform is None:
        token = scores.argmax(-1, keepdim=True)
    else:
        cumulative = scores.exp().cumsum(-1)
        token = torch.searchsorted(cumulative, uniform * cumulative[:, -1:], right=True)
        token = token.clamp_max(scores.shape[-1] - 1)
    return token.squeeze(-1), scores.gather(-1, token).squeeze(-1)


def uniform_numbers(seeds: Sequence[int], new: int) -> Tensor:
    """Numbers in [0, 1) for samples with these seeds, [samples, new]; drawn on the CPU, so equal on all devices."""
    return torch.stack([torch.rand(new, generator=torch.Generator().manual_seed(seed % 2**63)) for seed in seeds])
