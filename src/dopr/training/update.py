"""One optimiser step on weighted rollouts, computed at once or in micro-batches."""

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

QUANTILE = 0.95  # a step of one prompt has a few hundred tokens, of whose worst ones rounding decides


@dataclass(frozen=True)
class CriticOutput:
    """What a critic says of a rollout, token by token: its advantage, the return to be learned, the value held."""

    advantages: tuple[float, ...]
    returns: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class TrainingSample:
    """A rollout and its advantage. fresh: drawn by the policy as it was when the step began, not replayed.

    estimate: with a critic, which then gives each token's advantage; `advantage` is their mean.
    """

    rollout: Rollout
    advantage: float
    fresh: bool
    estimate: CriticOutput | None = None

    @property
    def signal(self) -> bool:
        """Whether the policy gradient of this row can be other than zero."""
        return any(self.estimate.advantages) if self.estimate else self.advantage != 0.0


@dataclass(frozen=True)
class Objective:
    """What updates minimise. limit: most tokens of a completion. reference: where the KL term is on, the starting
    policy, or the trained one, whose adapters are then off. micro_batch_tokens: see dopr.training.micro_batches."""

    loss: Loss
    temperature: float
    limit: int
    reference: Policy | None
    micro_batch_tokens: int | None = None

    def takes(self, row: TrainingSample) -> bool:
        """Whether a row takes part at all."""
        return not (self.loss.mask_truncated and row.rollout.finish == "length")

    def used(self, rows: Sequence[TrainingSample]) -> list[TrainingSample]:
        """The rows that must be computed: where the policy gradient is the only term, those with signal."""
        return [row for row in rows if self.takes(row) and (self.loss.regularised or row.signal)]

    def tokens(self, rows: Sequence[TrainingSample]) -> int:
        """Completion tokens of the rows that take part."""
        return sum(len(row.rollout.tokens) for row in rows if self.takes(row))


@dataclass(frozen=True)
class LogprobGap:
    """Absolute differences between the log-probabilities of sampler and trainer, in nats: their mean over tokens, and
    the QUANTILE of them. The largest says little: in bfloat16 a single token of many can be far off by rounding."""

    mean: float = 0.0
    high: float = 0.0

    @classmethod
    def of(cls, differences: Sequence[np.ndarray]) -> LogprobGap:
        """Of the tokens' differences, in parts; 0 without any."""
        every = np.concatenate([np.zeros(0), *differences])
        return cls(float(every.mean()), float(np.quantile(every, QUANTILE))) if len(every) else cls()


@dataclass(frozen=True)
class UpdateStatistics:
    """grad_norm before clipping; clipped share of tokens; gap: between sampler and trainer, over the fresh rows that
    were computed; mean KL estimate; value_loss: of the critic."""

    grad_norm: float = 0.0
    clipped: float = 0.0
    gap: LogprobGap = LogprobGap()
    kl: float = 0.0
    value_loss: float = 0.0


def update(
    policy: Policy,
    optimiser: Optimiser,
    rows: Sequence[TrainingSample],
    objective: Objective,
    share: float,
    step: int,
) -> UpdateStatistics:
    """One step on the mini-batch `rows`, of which one must be used (see Objective.used).

    share: tokens of the whole batch / number of mini-batches.

    Raises:
        FloatingPointError: an advantage, a stored log-probability, the loss or its gradient is not finite.
    """
    used = objective.used(rows)
    extent = Normalisation(len(rows), objective.tokens(rows), share, objective.limit)
    found: list[tuple[int, float, float, np.ndarray]] = []  # of each micro-batch: tokens, clipped, KL, differences

    def losses() -> Iterator[Tensor]:
        for places in split_micro_batches([row.rollout for row in used], objective.micro_batch_tokens):
            mine, weight = rank_share(places)
            part = [used[place] for place in mine]
            batch = loss_inputs(policy, part, objective, step)
            terms = minibatch_loss(batch, extent, objective.loss)
            tokens, apart = (int(batch.mask.sum()), differences(batch, part)) if weight else (0, np.zeros(0))
            found.append((tokens, terms.clipped, terms.kl, apart))
            yield terms.loss * weight

    _, norm = optimiser.step(losses(), step)
    tokens, clipped, kl, gaps = zip(*(each for parts in all_gather(found) for each in parts), strict=True)
    means = np.average([clipped, kl], axis=1, weights=tokens)
    return UpdateStatistics(norm, float(means[0]), LogprobGap.of(gaps), float(means[1]))


def differences(batch: LossInputs, rows: Sequence[TrainingSample]) -> np.ndarray:
    """How far the stored log-probabilities of fresh rows are from those of now, [their tokens]."""
    fresh = torch.tensor([row.fresh for row in rows], device=batch.mask.device)[:, None] & batch.mask
    apart: np.ndarray = (batch.logprobs - batch.behaviour).detach().abs()[fresh].cpu().numpy()
    return apart


def loss_inputs(policy: Policy, rows: Sequence[TrainingSample], objective: Objective, step: int) -> LossInputs:
    """The rows' tokens as tensors, computed as far as the terms that are on need it.

    Raises:
        FloatingPointError: an advantage or a stored log-probability is not finite.
    """
    prompts, completions = [row.rollout.prompt_tokens for row in rows], [row.rollout.tokens for row in rows]
    reference = entropy = None
    if objective.reference:
        with torch.no_grad(), without_adapters(objective.reference):
            reference, _ = completion_logprobs(objective.reference, prompts, completions, objective.temperature)
    if objective.loss.entropy > 0:
        logprobs, entropy, mask = logprobs_and_entropy(policy, prompts, completions, objective.temperature)
    else:
        logprobs, mask = completion_logprobs(policy, prompts, completions, objective.temperature)
    behaviour = padded([row.rollout.logprobs for row in rows], mask)
    advantages = padded([row.estimate.advantages if row.estimate else (row.advantage,) for row in rows], mask)
    advantages = advantages if any(row.estimate for row in rows) else advantages[:, :1]
    if not (torch.isfinite(behaviour).all() and torch.isfinite(advantages).all()):
        raise FloatingPointError(f"step {step + 1}: a rollout's log-probability or advantage is not finite")
    return LossInputs(logprobs, behaviour, advantages, mask, reference, entropy)


def padded(rows: Sequence[Sequence[float]], like: Tensor) -> Tensor:
    """Rows of numbers as a float32 tensor of the shape and on the device of `like`, with zeros behind."""
    tensor = torch.zeros(like.shape)
    for i, row in enumerate(rows):
        tensor[i, : len(row)] = torch.tensor(row, dtype=torch.float32)
    return tensor.to(like.device)
