"""The loss of a mini-batch, by name. docs/policy_optimisation.md has the formulas side by side.

A variant is a surrogate, whose gradient is the policy gradient, and an average over tokens:

    grpo     clipped ratio; mean of each completion, then of completions        arXiv 2402.03300
    dr_grpo  clipped ratio; sum over tokens / (completions x token limit)       arXiv 2503.20783
    dapo     clipped ratio; mean over the tokens of the whole batch             arXiv 2503.14476
    bnpo     clipped ratio; mean over the tokens of the mini-batch              TRL's name
    cispo    capped ratio as a constant weight on log p; averaged as dapo       arXiv 2506.13585
    gspo     clipped ratio of whole completions; averaged as grpo               arXiv 2507.18071
    rft      log p of what was rewarded; averaged as bnpo                       arXiv 2308.01825

KL divergence from the starting policy and entropy are added token by token, so they are averaged as the surrogate is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dopr.config.recipe import Loss

KL_MOST = 10.0  # a token's KL estimate beyond this is cut, as in the 1-shot RLVR code
LOG_RATIO_MOST = 20.0  # keeps exp finite; its KL estimate is beyond KL_MOST anyway


@dataclass(frozen=True)
class LossInputs:
    """What a loss is computed from, [rows, length] each, but for advantages, which may be [rows, 1].

    logprobs: under the policy. behaviour: under the policy that drew the token, stored when it was drawn.
    reference: under the starting policy. entropy: of the distribution the token was drawn from, now, in nats.
    reference and entropy are None where their term is off.
    """

    logprobs: Tensor
    behaviour: Tensor
    advantages: Tensor
    mask: Tensor
    reference: Tensor | None = None
    entropy: Tensor | None = None


@dataclass(frozen=True)
class Normalisation:
    """What averages are over, rows without signal included even where they were left out of the computation.

    rows, tokens: of the mini-batch. share: tokens of the whole batch / number of mini-batches. limit: most tokens of a
    completion.
    """

    rows: int
    tokens: int
    share: float
    limit: int


@dataclass(frozen=True)
class LossTerms:
    """loss: scalar. clipped: share of tokens at which the clip is active. kl: mean over tokens, 0 where it is off."""

    loss: Tensor
    clipped: float
    kl: float


def minibatch_loss(tokens: LossInputs, extent: Normalisation, settings: Loss) -> LossTerms:
    """The loss as `settings` say; terms that are off are not computed."""
    variant, mask = VARIANTS[settings.variant], tokens.mask
    values, active, kl = torch.zeros_like(tokens.logprobs), torch.zeros_like(mask), 0.0
    if settings.policy_gradient:
        values, active = variant.surrogate(tokens, settings)
    if tokens.reference is not None:
        divergence = k3(tokens.logprobs, tokens.reference)
        values, kl = values + settings.kl * divergence, masked_mean(divergence, mask)
    if tokens.entropy is not None:
        values = values - settings.entropy * tokens.entropy
    return LossTerms(variant.average(values, mask, extent), masked_mean(active, mask), kl)


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """q/p - log(q/p) - 1, an unbiased and never negative estimate of KL(p, q) at tokens drawn from p, cut at KL_MOST.

    logprobs: log p. reference: log q.
    """
    log_ratio = (reference - logprobs).clamp(-LOG_RATIO_MOST, LOG_RATIO_MOST)
    return (log_ratio.exp() - log_ratio - 1).clamp_max(KL_MOST)


def masked_mean(values: Tensor, mask: Tensor) -> float:
    """The mean over real tokens."""
    return float((values.detach() * mask).sum() / mask.sum())


# --- surrogates: values to be minimised, and whether the clip is active; [rows, length] or [rows, 1] ---


def clipped_tokens(tokens: LossInputs, settings: Loss) -> tuple[Tensor, Tensor]:
    """-min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A), token by token."""
    return clipped((tokens.logprobs - tokens.behaviour).exp(), tokens.advantages, settings)


def clipped_sequences(tokens: LossInputs, settings: Loss) -> tuple[Tensor, Tensor]:
    """The same with one ratio a completion, the geometric mean of its tokens'."""
    log_ratio = (tokens.logprobs - tokens.behaviour) * tokens.mask
    mean = log_ratio.sum(-1, keepdim=True) / tokens.mask.sum(-1, keepdim=True)
    return clipped(mean.exp(), tokens.advantages, settings)


def clipped(ratio: Tensor, advantages: Tensor, settings: Loss) -> tuple[Tensor, Tensor]:
    """PPO's clipped objective, negated."""
    plain, bounded = ratio * advantages, ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high) * advantages
    return -torch.minimum(plain, bounded), bounded < plain


def capped_weight(tokens: LossInputs, settings: Loss) -> tuple[Tensor, Tensor]:
    """-min(ratio, 1 + clip_high) A log p, the ratio a constant: every token keeps a gradient. clip_low has no part."""
    ratio, most = (tokens.logprobs - tokens.behaviour).exp().detach(), 1 + settings.clip_high
    return -ratio.clamp_max(most) * tokens.advantages * tokens.logprobs, ratio > most


def likelihood(tokens: LossInputs, settings: Loss) -> tuple[Tensor, Tensor]:
    """-A log p: no ratio and no clip."""
    return -tokens.advantages * tokens.logprobs, torch.zeros_like(tokens.mask)


# --- averages ---


def over_sequences(values: Tensor, mask: Tensor, extent: Normalisation) -> Tensor:
    """Every completion counts alike, whatever its length."""
    return ((values * mask).sum(-1) / mask.sum(-1)).sum() / extent.rows


def over_limit(values: Tensor, mask: Tensor, extent: Normalisation) -> Tensor:
    """A constant divisor: a token's weight depends on no length at all."""
    return (values * mask).sum() / (extent.rows * extent.limit)


def over_batch(values: Tensor, mask: Tensor, extent: Normalisation) -> Tensor:
    """Every token of the whole batch counts alike, in whatever mini-batch it is."""
    return (values * mask).sum() / extent.share


def over_minibatch(values: Tensor, mask: Tensor, extent: Normalisation) -> Tensor:
    """Every mini-batch counts alike, every token in it counts alike."""
    return (values * mask).sum() / extent.tokens


@dataclass(frozen=True)
class Variant:
    """A surrogate and an average."""

    surrogate: Callable[[LossInputs, Loss], tuple[Tensor, Tensor]]
    average: Callable[[Tensor, Tensor, Normalisation], Tensor]


VARIANTS: Mapping[str, Variant] = {
    "grpo": Variant(clipped_tokens, over_sequences),
    "dr_grpo": Variant(clipped_tokens, over_limit),
    "dapo": Variant(clipped_tokens, over_batch),
    "bnpo": Variant(clipped_tokens, over_minibatch),
    "cispo": Variant(capped_weight, over_batch),
    "gspo": Variant(clipped_sequences, over_sequences),
    "rft": Variant(likelihood, over_minibatch),
}
