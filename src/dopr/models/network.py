"""The policy: a causal language model of transformers, applied to packed batches of prompts and completions.

The same kind of network serves as policy, reference model, critic and sampler. Two things are added to transformers'
own: batches in which a group's prompt is computed once (dopr.models.packing), and logits in chunks, so that memory does
not grow with the vocabulary.
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

MAX_LOGITS = 2**26  # 256 MiB in float32
Score = Callable[[Tensor, Tensor], Tensor]  # (logits [tokens, vocabulary], targets [tokens]) -> [tokens, ...]


def scored_at_once(vocabulary: int) -> int:
    """Return the number of tokens whose logits are computed at the same time; a multiple of 32."""
    return max(1, MAX_LOGITS // vocabulary // 32) * 32


class Policy(nn.Module):
    """A causal language model with its output head."""

    def __init__(self, network: PreTrainedModel) -> None:
        super().__init__()
        self.network = network

    @property
    def layers(self) -> list[nn.Module]:
        """The layers, first to last, that transformers does not split over devices."""
        return layers_of(self.network)

    @property
    def config(self) -> PreTrainedConfig:
        """The configuration of the language model."""
        return self.network.config.get_text_config()

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        device: torch.device = next(self.network.parameters()).device
        return device

    def forward(self, batch: PackedBatch, score: Score) -> Tensor:
        """Compute score(logits, targets) of every completion token of a batch, [tokens, ...].

        Many logits are computed in chunks, and once more for the gradient.
        """
        batch = batch.to(self.device, self.network.dtype)
        hidden = completion_states(self.network.base_model, batch)
        chunk_size = scored_at_once(self.config.vocab_size)
        if len(hidden) <= chunk_size:
            return score(self.logits(hidden), batch.targets)

        def score_chunk(hidden: Tensor, targets: Tensor) -> Tensor:
            return score(self.logits(hidden), targets)

        chunks = zip(hidden.split(chunk_size), batch.targets.split(chunk_size), strict=True)
        return torch.cat([checkpoint(score_chunk, *chunk, use_reentrant=False) for chunk in chunks])

    def logits(self, hidden: Tensor) -> Tensor:
        """Compute next-token logits [..., vocabulary] of hidden states, scaled and capped as the model type requires.

        transformers does this in each model's own forward, which would compute the logits of all tokens at once.
        """
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
    """Return the layers that sharding treats as units, first to last."""
    names = network._no_split_modules or ()
    return [module for module in network.modules() if type(module).__name__ in names]


def completion_states(body: PreTrainedModel, batch: PackedBatch) -> Tensor:
    """Compute the hidden state that predicts each completion token, [tokens, hidden size].

    Args:
        body: A network without its output head.
    """
    with checkpointing_enabled(body):
        states: Tensor = body(**batch.inputs, use_cache=False).last_hidden_state
    return states.flatten(0, 1).index_select(0, batch.predictor_indices)


def takes_packed(network: PreTrainedModel) -> bool:
    """Return whether a network was loaded with packed attention (dopr.models.attention)."""
    return bool(network.config._attn_implementation == PACKED)


@contextmanager
def checkpointing_enabled(body: PreTrainedModel) -> Iterator[None]:
    """Let layers with gradient checkpointing store only their input, inside the context.

    transformers checkpoints layers in training mode only. Just the layers' own flag is set: dropout inside them stays
    off, as in sampling.
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
    """Turn gradient checkpointing on or off; with it, each layer is computed a second time for its gradient.

    Raises:
        UserError: The model type has no layers that support it.
    """
    layers = [module for module in network.modules() if isinstance(module, GradientCheckpointingLayer)]
    if not layers:
        raise UserError(f"gradient_checkpointing: {type(network).__name__} has none; set it to false")
    for layer in layers:  # as transformers does; its own method changes its name between versions
        layer.gradient_checkpointing = on
        # A layer uses no random numbers, so their state need not be kept.
        layer._gradient_checkpointing_func = partial(checkpoint, use_reentrant=False, preserve_rng_state=False)
