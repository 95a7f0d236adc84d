"""Draw tokens from logits by inverse transform sampling."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def draw(logits: Tensor, temperature: float, uniform: Tensor | None) -> tuple[Tensor, Tensor]:
    """Draw one token for each row.

    Args:
        logits: [rows, vocabulary].
        temperature: The sampling temperature; 0 is greedy.
        uniform: A random number in [0, 1) for each row, [rows, 1]; None takes the most probable token.

    Returns:
        The tokens and their log-probabilities in float32, both [rows]. The log-probabilities are at the sampling
        temperature, or at temperature 1 for greedy decoding.
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
    """Return random numbers in [0, 1) for samples with these seeds, [samples, new].

    They are drawn on the CPU, so that they are equal on all devices.
    """
    return torch.stack([torch.rand(new, generator=torch.Generator().manual_seed(seed % 2**63)) for seed in seeds])
