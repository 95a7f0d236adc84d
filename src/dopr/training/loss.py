"""The loss of a mini-batch, by name. docs/policy_optimisation.md has the formulas side by side.

A variant is a surrogate, whose gradient is the policy gradient, and an average over tokens:

    grpo     clipped ratio; mean over each completion, then over completions     arXiv 2402.03300
    dr_grpo  clipped ratio; sum over tokens / (completions x token limit)        arXiv 2503.20783
    dapo     clipped ratio; mean over the tokens of the whole batch              arXiv 2503.14476
    bnpo     clipped ratio; mean over the tokens of the mini-batch               TRL's name
    cispo    capped ratio as a constant weight of log p; averaged as dapo        arXiv 2506.13585
    gspo     clipped ratio of whole completions; averaged as grpo                arXiv 2507.18071
    rft      log p of rewarded completions; averaged as bnpo                     arXiv 2308.01825

The KL divergence from the starting policy and the entropy are added per token, so the same average applies to them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from dopr.config.recipe import Loss

MAX_KL = 10.0  # a token's KL estimate is limited to this, as in the 1-shot RLVR code
MAX_LOG_RATIO = 20.0  # keeps exp finite; such a token's KL estimate is beyond MAX_KL anyway


@dataclass(frozen=True)
class LossInputs:
    """Tensors that a loss is computed from, all [samples, length] unless stated.

    Attributes:
        logprobs: Log-probabilities of the tokens under the policy.
        sampling_logprobs: Those under the policy that sampled the tokens, as the sampler stored them.
        advantages: One per token, or [samples, 1].
        mask: True for tokens, False for padding.
        ref_logprobs: Log-probabilities under the starting policy; None without the KL term.
        entropy: Of the policy's distribution of each token, in nats; None without the entropy term.
    """

    logprobs: Tensor
    sampling_logprobs: Tensor
    advantages: Tensor
    mask: Tensor
    ref_logprobs: Tensor | None = None
    entropy: Tensor | None = None


@dataclass(frozen=True)
class Normalisation:
    """Divisors of the averages. Samples without a gradient count too, though they are not computed.

    Attributes:
        samples: Completions of the mini-batch.
        tokens: Completion tokens of the mini-batch.
        tokens_per_minibatch: Completion tokens of the whole batch / number of mini-batches.
        max_completion_length: The token limit of a completion.
    """

    samples: int
    tokens: int
    tokens_per_minibatch: float
    max_completion_length: int


@dataclass(frozen=True)
class LossTerms:
    """A loss and what it reports.

    Attributes:
        loss: A scalar with a gradient.
        clipped: The share of tokens at which the clip is active.
        kl: The mean KL estimate over tokens; 0 without the KL term.
    """

    loss: Tensor
    clipped: float
    kl: float


def minibatch_loss(inputs: LossInputs, normalisation: Normalisation, settings: Loss) -> LossTerms:
    """Compute the loss of a mini-batch, or of a micro-batch of it; terms that are off are not computed."""
    variant, mask = VARIANTS[settings.variant], inputs.mask
    values, clip_active, kl = torch.zeros_like(inputs.logprobs), torch.zeros_like(mask), 0.0
    if settings.policy_gradient:
        values, clip_active = variant.surrogate(inputs, settings)
    if inputs.ref_logprobs is not None:
        divergence = k3(inputs.logprobs, inputs.ref_logprobs)
        values, kl = values + settings.kl * divergence, masked_mean(divergence, mask)
    if inputs.entropy is not None:
        values = values - settings.entropy * inputs.entropy
    return LossTerms(variant.average(values, mask, normalisation), masked_mean(clip_active, mask), kl)


def k3(logprobs: Tensor, ref_logprobs: Tensor) -> Tensor:
    """Estimate KL(p, q) as q/p - log(q/p) - 1 at tokens sampled from p; the estimate is unbiased and never negative.

    It is limited to MAX_KL.

    Args:
        logprobs: log p.
        ref_logprobs: log q.
    """
    log_ratio = (ref_logprobs - logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return (log_ratio.exp() - log_ratio - 1).clamp_max(MAX_KL)


def masked_mean(values: Tensor, mask: Tensor) -> float:
    """Return the mean over tokens, without padding."""
    return float((values.detach() * mask).sum() / mask.sum())


# --- surrogates: values to be minimised, and where the clip is active; [samples, length] or [samples, 1] ---


def clipped_tokens(inputs: LossInputs, settings: Loss) -> tuple[Tensor, Tensor]:
    """Return -min(ratio A, clip(ratio, 1 - clip_low, 1 + clip_high) A) of each token."""
    return clipped((inputs.logprobs - inputs.sampling_logprobs).exp(), inputs.advantages, settings)


def clipped_sequences(inputs: LossInputs, settings: Loss) -> tuple[Tensor, Tensor]:
    """Return the same with one ratio for each completion, the geometric mean of its tokens' ratios."""
    log_ratio = (inputs.logprobs - inputs.sampling_logprobs) * inputs.mask
    mean = log_ratio.sum(-1, keepdim=True) / inputs.mask.sum(-1, keepdim=True)
    return clipped(mean.exp(), inputs.advantages, settings)


def clipped(ratio: Tensor, advantages: Tensor, settings: Loss) -> tuple[Tensor, Tensor]:
    """Return PPO's clipped objective, negated."""
    unclipped, bounded = ratio * advantages, ratio.clamp(1 - settings.clip_low, 1 + settings.clip_high) * advantages
    return -torch.minimum(unclipped, bounded), bounded < unclipped


def capped_weight(inputs: LossInputs, settings: Loss) -> tuple[Tensor, Tensor]:
    """Return -min(ratio, 1 + clip_high) A log p, where the ratio has no gradient.

    Every token thus keeps a gradient. clip_low is not used.
    """
    ratio, cap = (inputs.logprobs - inputs.sampling_logprobs).exp().detach(), 1 + settings.clip_high
    return -ratio.clamp_max(cap) * inputs.advantages * inputs.logprobs, ratio > cap


def likelihood(inputs: LossInputs, settings: Loss) -> tuple[Tensor, Tensor]:
    """Return -A log p, without ratio and clip."""
    return -inputs.advantages * inputs.logprobs, torch.zeros_like(inputs.mask)


# --- averages ---


def over_sequences(values: Tensor, mask: Tensor, normalisation: Normalisation) -> Tensor:
    """Average over the tokens of each completion, then over completions: each completion has the same weight."""
    return ((values * mask).sum(-1) / mask.sum(-1)).sum() / normalisation.samples


def over_limit(values: Tensor, mask: Tensor, normalisation: Normalisation) -> Tensor:
    """Divide by a constant: the weight of a token depends on no completion's length."""
    return (values * mask).sum() / (normalisation.samples * normalisation.max_completion_length)


def over_batch(values: Tensor, mask: Tensor, normalisation: Normalisation) -> Tensor:
    """Average over tokens: each token of the whole batch has the same weight, whichever mini-batch it is in."""
    return (values * mask).sum() / normalisation.tokens_per_minibatch


def over_minibatch(values: Tensor, mask: Tensor, normalisation: Normalisation) -> Tensor:
    """Average over tokens: each mini-batch has the same weight, and each token within it."""
    return (values * mask).sum() / normalisation.tokens


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
