"""One optimiser step on a mini-batch of rollouts with advantages, in one or several micro-batches."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from dopr.config.recipe import Loss
from dopr.models.logprobs import completion_logprobs, logprobs_and_entropy
from dopr.models.lora import without_adapters
from dopr.models.network import Policy
from dopr.records import Rollout
from dopr.runtime.distributed import all_gather, rank_share
from dopr.training.loss import LossInputs, Normalisation, minibatch_loss
from dopr.training.micro_batches import split_micro_batches
from dopr.training.optimiser import Optimiser

QUANTILE = 0.95  # a step of one prompt has a few hundred tokens; a higher quantile would be that of rounding outliers


@dataclass(frozen=True)
class CriticOutput:
    """A critic's estimates for one rollout, one number per token.

    Attributes:
        advantages: Whitened generalised advantage estimates.
        returns: The targets of the value function.
        values: The values when the advantages were estimated.
    """

    advantages: tuple[float, ...]
    returns: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class TrainingSample:
    """A rollout with its advantage.

    Attributes:
        advantage: Of the whole completion; with a critic, the mean over its tokens before whitening.
        fresh: Whether it was sampled in this step from the present policy, and not replayed.
        critic_output: Of a run with a critic; each token then has its own advantage.
    """

    rollout: Rollout
    advantage: float
    fresh: bool
    critic_output: CriticOutput | None = None

    @property
    def has_gradient(self) -> bool:
        """Whether its policy gradient can differ from zero."""
        return any(self.critic_output.advantages) if self.critic_output else self.advantage != 0.0


@dataclass(frozen=True)
class Objective:
    """The loss that updates minimise, and how it is computed.

    Attributes:
        temperature: The sampling temperature, at which log-probabilities are computed.
        max_completion_length: The token limit of a completion.
        reference: The starting policy, for the KL term; a policy with adapters is its own reference.
        micro_batch_tokens: The padded tokens of a micro-batch (dopr.training.micro_batches).
    """

    loss: Loss
    temperature: float
    max_completion_length: int
    reference: Policy | None
    micro_batch_tokens: int | None = None

    def includes(self, sample: TrainingSample) -> bool:
        """Return whether a sample counts in the loss; with mask_truncated, truncated ones do not."""
        return not (self.loss.mask_truncated and sample.rollout.finish == "length")

    def contributing(self, samples: Sequence[TrainingSample]) -> list[TrainingSample]:
        """Return the samples that must be computed: all, or those with a gradient if there is no other loss term."""
        return [
            sample for sample in samples if self.includes(sample) and (self.loss.regularised or sample.has_gradient)
        ]

    def completion_tokens(self, samples: Sequence[TrainingSample]) -> int:
        """Return the number of completion tokens of the samples that count in the loss."""
        return sum(len(sample.rollout.tokens) for sample in samples if self.includes(sample))


@dataclass(frozen=True)
class LogprobGap:
    """Absolute differences between the log-probabilities of sampler and trainer, over tokens, in nats.

    The largest difference says little: in bfloat16 a single token of many can be far off by rounding.

    Attributes:
        mean: Their mean.
        high: Their QUANTILE.
    """

    mean: float = 0.0
    high: float = 0.0

    @classmethod
    def from_differences(cls, differences: Sequence[np.ndarray]) -> LogprobGap:
        """Summarise the differences of several micro-batches; the gap of no tokens is 0."""
        values = np.concatenate([np.zeros(0), *differences])
        return cls(float(values.mean()), float(np.quantile(values, QUANTILE))) if len(values) else cls()


@dataclass(frozen=True)
class UpdateStatistics:
    """Statistics of one update.

    Attributes:
        grad_norm: The norm of the gradient before clipping.
        clipped: The share of tokens at which the clip of the loss is active.
        gap: Between sampler and trainer, over the fresh samples that were computed.
        kl: The mean KL estimate over tokens.
        value_loss: The critic's loss.
    """

    grad_norm: float = 0.0
    clipped: float = 0.0
    gap: LogprobGap = LogprobGap()
    kl: float = 0.0
    value_loss: float = 0.0


def update(
    policy: Policy,
    optimiser: Optimiser,
    samples: Sequence[TrainingSample],
    objective: Objective,
    tokens_per_minibatch: float,
    step: int,
) -> UpdateStatistics:
    """Make one optimiser step on a mini-batch.

    Args:
        samples: The mini-batch, of which at least one sample contributes (Objective.contributing).
        tokens_per_minibatch: Tokens of the whole batch / number of mini-batches.

    Raises:
        FloatingPointError: An advantage, a stored log-probability, the loss or its gradient is not finite.
    """
    contributing = objective.contributing(samples)
    normalisation = Normalisation(
        len(samples), objective.completion_tokens(samples), tokens_per_minibatch, objective.max_completion_length
    )
    results: list[tuple[int, float, float, np.ndarray]] = []  # of each micro-batch: tokens, clipped, KL, differences

    def losses() -> Iterator[Tensor]:
        rollouts = [sample.rollout for sample in contributing]
        for indices in split_micro_batches(rollouts, objective.micro_batch_tokens):
            rank_indices, weight = rank_share(indices)
            micro_batch = [contributing[i] for i in rank_indices]
            inputs = loss_inputs(policy, micro_batch, objective, step)
            terms = minibatch_loss(inputs, normalisation, objective.loss)
            # A rank without samples computes one with weight 0, which the statistics leave out.
            tokens, gaps = (int(inputs.mask.sum()), differences(inputs, micro_batch)) if weight else (0, np.zeros(0))
            results.append((tokens, terms.clipped, terms.kl, gaps))
            yield terms.loss * weight

    _, grad_norm = optimiser.step(losses(), step)
    all_results = [result for rank_results in all_gather(results) for result in rank_results]
    tokens, clipped, kl, gaps = zip(*all_results, strict=True)
    means = np.average([clipped, kl], axis=1, weights=tokens)
    return UpdateStatistics(grad_norm, float(means[0]), LogprobGap.from_differences(gaps), float(means[1]))


def differences(inputs: LossInputs, samples: Sequence[TrainingSample]) -> np.ndarray:
    """Return |log p now - log p when sampled| at each token of the fresh samples, [tokens]."""
    fresh = torch.tensor([sample.fresh for sample in samples], device=inputs.mask.device)[:, None] & inputs.mask
    found: np.ndarray = (inputs.logprobs - inputs.sampling_logprobs).detach().abs()[fresh].cpu().numpy()
    return found


def loss_inputs(policy: Policy, samples: Sequence[TrainingSample], objective: Objective, step: int) -> LossInputs:
    """Compute the inputs of the loss; reference and entropy only if their term is on.

    Raises:
        FloatingPointError: An advantage or a stored log-probability is not finite.
    """
    prompts = [sample.rollout.prompt_tokens for sample in samples]
    completions = [sample.rollout.tokens for sample in samples]
    ref_logprobs = entropy = None
    if objective.reference:
        with torch.no_grad(), without_adapters(objective.reference):
            ref_logprobs, _ = completion_logprobs(objective.reference, prompts, completions, objective.temperature)
    if objective.loss.entropy > 0:
        logprobs, entropy, mask = logprobs_and_entropy(policy, prompts, completions, objective.temperature)
    else:
        logprobs, mask = completion_logprobs(policy, prompts, completions, objective.temperature)
    sampling_logprobs = pad_like([sample.rollout.logprobs for sample in samples], mask)
    advantages = advantage_tensor(samples, mask)
    if not (torch.isfinite(sampling_logprobs).all() and torch.isfinite(advantages).all()):
        raise FloatingPointError(f"step {step + 1}: a rollout's log-probability or advantage is not finite")
    return LossInputs(logprobs, sampling_logprobs, advantages, mask, ref_logprobs, entropy)


def advantage_tensor(samples: Sequence[TrainingSample], mask: Tensor) -> Tensor:
    """Return advantages: per token [samples, length] if there is a critic, else per completion [samples, 1]."""
    outputs = [sample.critic_output for sample in samples]
    rows = [
        output.advantages if output else (sample.advantage,) for sample, output in zip(samples, outputs, strict=True)
    ]
    advantages = pad_like(rows, mask)
    return advantages if any(outputs) else advantages[:, :1]


def pad_like(rows: Sequence[Sequence[float]], like: Tensor) -> Tensor:
    """Return rows of numbers as float32, padded with zeros on the right to the shape of `like`, on its device."""
    tensor = torch.zeros(like.shape)
    for i, row in enumerate(rows):
        tensor[i, : len(row)] = torch.tensor(row, dtype=torch.float32)
    return tensor.to(like.device)
