"""GRPO's advantages and clipped policy-gradient loss, with the token mean over the whole batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor


def group_advantages(rewards: Sequence[float], epsilon: float) -> list[float]:
    """(r - mean) / (std + epsilon) within one group, std with n - 1 in the denominator (GRPO, arXiv 2402.03300, as in
    TRL and the 1-shot RLVR code). All zero when the rewards agree: such a group carries no signal."""
    values = torch.tensor(list(rewards), dtype=torch.float64)
    return ((values - values.mean()) / (values.std() + epsilon)).tolist()


@dataclass(frozen=True)
class LossTerms:
    """loss: scalar. clipped: share of tokens at which the clip is active."""

    loss: Tensor
    clipped: float


def clipped_loss(
    logprobs: Tensor, behaviour: Tensor, advantages: Tensor, mask: Tensor, clip: float, tokens: int
) -> LossTerms:
    """-sum over tokens of min(ratio A, clip(ratio, 1 - clip, 1 + clip) A) / tokens.

    logprobs, behaviour, mask: [rows, length]; behaviour is the log-probability under the policy that drew the token,
    stored when it was drawn. advantages: [rows]. tokens: the size of the whole batch, rows with zero advantage
    included even where they were left out of the computation.
    """
    ratio = (logprobs - behaviour).exp()
    weight = advantages[:, None]
    plain, bounded = ratio * weight, ratio.clamp(1 - clip, 1 + clip) * weight
    objective = torch.minimum(plain, bounded)
    active = ((bounded < plain) & mask).sum() / mask.sum()
    return LossTerms(-(objective * mask).sum() / tokens, float(active))
