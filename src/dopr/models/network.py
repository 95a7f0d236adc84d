"""The policy: a causal language model of transformers, and how prompts with completions are read with it.

One network serves training, the reference, the critic and sampling. Ours is what surrounds it: batches in which a
group's prompt is computed once (dopr.models.packing), and logits in pieces, so that memory does not grow with the
vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint
from transformers import PreTrainedConfig, PreTrainedModel
from transformers.modeling_layers import GradientCheckpointingLayer

from dopr.errors import UserError
from dopr.models.attention import PACKED
from dopr.models.packing import PackedBatch

LOGITS_AT_ONCE = 2**26  # 256 MiB in float32
Score = Callable[[Tensor, Tensor], Tensor]  # of logits [tokens, vocabulary] and targets [tokens]; a row a token


def scored_at_once(vocabulary: int) -> int:
    """Return for how many tokens logits are there at the same time; a multiple of 32."""
    return max(1, LOGITS_AT_ONCE // vocabulary // 32) * 32


class Policy(nn.Module):
    """A causal language model with its output head."""

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network = network

    @property
    def layers(self) -> list[nn.Module]:
        """The layers that transformers says must stay whole, first to last."""
        return layers_of(self.network)

    @property
    def config(self) -> PreTrainedConfig:
        """The configuration of the language model."""
        return self.network.config.get_text_config()

    @property
    def device(self) -> torch.device:
        """Where its weights are, and where it is computed."""
        device: torch.device = next(self.network.parameters()).device
        return device

    def forward(self, batch: PackedBatch, score: Score) -> Tensor:
        """Compute score(logits, targets) of every completion token of a batch, a row a token.

        Logits of many tokens and a large vocabulary are made in pieces, and made again for the gradient.
        """
        batch = batch.to(self.device, self.network.dtype)
        hidden = completion_states(self.network.base_model, batch)
        size = scored_at_once(self.config.vocab_size)
        if len(hidden) <= size:
            return score(self.logits(hidden), batch.targets)

        def piece(hidden: Tensor, targets: Tensor) -> Tensor:
            return score(self.logits(hidden), targets)

        pieces = zip(hidden.split(size), batch.targets.split(size), strict=True)
        return torch.cat([checkpoint(piece, *part, use_reentrant=False) for part in pieces])

    def logits(self, hidden: Tensor) -> Tensor:
        """Compute next-token logits [..., vocabulary] of hidden states, scaled and capped as the kind of model does."""
        logits: Tensor = self.network.get_output_embeddings()(hidden)
        config = self.config
        if getattr(config, "logits_scaling", None):  # Granite
            logits = logits / config.logits_scaling
        if getattr(config, "logit_scale", None):  # Cohere
            logits = logits * config.logit_scale
        if getattr(config, "final_logit_softcapping", None):  # Gemma
            logits = torch.tanh(logits / config.final_logit_softcapping) * config.final_logit_softcapping
        return logits


def layers_of(network: PreTrainedModel) -> list[nn.Module]:
    """Return the modules that sharding and checkpointing treat as units, first to last."""
    names = network._no_split_modules or ()
    return [module for module in network.modules() if type(module).__name__ in names]


def completion_states(body: PreTrainedModel, batch: PackedBatch) -> Tensor:
    """Compute the hidden state before each completion token, [tokens, hidden size].

    Args:
        body: a network without its output head.
    """
    with recomputed(body):
        states: Tensor = body(**batch.inputs, use_cache=False).last_hidden_state
    return states.flatten(0, 1).index_select(0, batch.before)


def takes_packed(network: PreTrainedModel) -> bool:
    """Return whether a network was loaded with the attention that takes packed batches."""
    return bool(network.config._attn_implementation == PACKED)


@contextmanager
def recomputed(body: PreTrainedModel) -> Iterator[None]:
    """Within it, layers with gradient checkpointing on keep their input alone.

    They do so in training mode, which they are put into alone: dropout and the like stay off, as in sampling.
    """
    layers = [module for module in body.modules() if isinstance(module, GradientCheckpointingLayer)]
    for layer in layers:
        layer.training = layer.gradient_checkpointing and torch.is_grad_enabled()
    try:
        yield
    finally:
        for layer in layers:
            layer.training = False


def checkpoint_layers(network: PreTrainedModel, on: bool = True) -> None:
    """Turn gradient checkpointing on or off: each layer is computed a second time for its gradient.

    Raises:
        UserError: the kind of model has no layers that can be.
    """
    layers = [module for module in network.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise UserError(f"gradient_checkpointing: {type(network).__name__} has none; set it to false")
    for layer in layers:  # as transformers does, whose method for it has another name in each version
        layer.gradient_checkpointing = on
        # A layer draws no random numbers.
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
