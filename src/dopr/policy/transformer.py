"""The policy network: the Llama family (Llama, Qwen2 and their distills) in plain PyTorch.

Parameters are named as in the Hugging Face layout, so a checkpoint goes in and out as it is; a test holds outputs and
gradients to the transformers models'. Ours is for speed: importing theirs costs every job seconds, and each forward
of a small policy twice the time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention, silu
from torch.utils.checkpoint import checkpoint

from dopr.architecture import rotary_angles
from dopr.policy.layout import Layout, Part, rows_of
from dopr.products import product

LOGITS_AT_ONCE = 2**26  # where they are not kept: 256 MiB in float32


def scored_at_once(vocabulary: int) -> int:
    """Tokens whose logits are there at the same time, where logits are not kept; a multiple of 32 (dopr.products)."""
    return max(1, LOGITS_AT_ONCE // vocabulary // 32) * 32


class Projection(nn.Linear):
    """A linear layer, computed by dopr.products."""

    def forward(self, rows: Tensor) -> Tensor:
        """[rows, inner] to [rows, columns]."""
        return product(rows, self.weight, self.bias)


class Attention(nn.Module):
    """Causal self-attention with grouped key-value heads and rotary positions."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        size, self.heads = config["hidden_size"], config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.head_size = config.get("head_dim") or size // self.heads
        biased = config["model_type"] == "qwen2"
        self.q_proj = Projection(size, self.heads * self.head_size, bias=biased)
        self.k_proj = Projection(size, self.kv_heads * self.head_size, bias=biased)
        self.v_proj = Projection(size, self.kv_heads * self.head_size, bias=biased)
        self.o_proj = Projection(self.heads * self.head_size, size, bias=False)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, parts: Sequence[Part]) -> Tensor:
        """[tokens, hidden size] in and out; cos and sin: [tokens, 1, head size]."""
        turned = self.heads + self.kv_heads
        projected = self._projected(hidden).view(len(hidden), -1, self.head_size)
        query, key = rotate(projected[:, :turned], cos, sin).tensor_split([self.heads], 1)
        query, key, value = query.flatten(1), key.flatten(1), projected[:, turned:].flatten(1)
        mixed = torch.cat([self._attend(part, query, key, value) for part in parts])
        return self.o_proj(mixed)  # type: ignore[no-any-return]

    def _projected(self, hidden: Tensor) -> Tensor:
        """Query, key and value side by side; in one product, unless one of them has an adapter (dopr.policy.lora)."""
        projections = (self.q_proj, self.k_proj, self.v_proj)
        if not all(isinstance(projection, Projection) for projection in projections):
            return torch.cat([projection(hidden) for projection in projections], -1)
        biased = self.q_proj.bias is not None
        bias = torch.cat([projection.bias for projection in projections]) if biased else None
        return product(hidden, torch.cat([projection.weight for projection in projections]), bias)

    def _attend(self, part: Part, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """[real queries, heads * head size] of one part."""
        rows, most = part.queries.shape
        query = query.index_select(0, part.queries.flatten()).view(rows, most, -1, self.head_size)
        key, value = (
            tensor.index_select(0, part.keys.flatten()).view(rows, -1, self.kv_heads, self.head_size).transpose(1, 2)
            for tensor in (key, value)
        )
        if part.mask is None:
            grouped = self.heads != self.kv_heads
            mixed = scaled_dot_product_attention(query.transpose(1, 2), key, value, is_causal=True, enable_gqa=grouped)
            mixed = mixed.transpose(1, 2)
        else:
            mixed = self._masked(query, key.flatten(0, 1), value.flatten(0, 1), part.mask)
        return mixed.reshape(rows * most, -1).index_select(0, part.real)

    def _masked(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        """[rows, queries, heads, head size]; query heads that share a key head are stacked."""
        rows, most, heads, size = query.shape
        group = heads // self.kv_heads
        stacked = (query * size**-0.5).view(rows, most, self.kv_heads, group, size).permute(0, 2, 3, 1, 4)
        scores = torch.bmm(stacked.reshape(rows * self.kv_heads, group * most, size), key.transpose(1, 2))
        scores.view(rows, self.kv_heads, group, most, -1).add_(mask)
        mixed = torch.bmm(scores.softmax(-1), value).view(rows, self.kv_heads, group, most, size)
        return mixed.permute(0, 3, 1, 2, 4)


class Mlp(nn.Module):
    """The gated feed-forward layer."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        size, inner = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = Projection(size, inner, bias=False)
        self.up_proj = Projection(size, inner, bias=False)
        self.down_proj = Projection(inner, size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """[tokens, hidden size] in and out."""
        return self.down_proj(silu(self.gate_proj(hidden)) * self.up_proj(hidden))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One layer: attention and feed-forward, each normalised before and added."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config["hidden_size"], config["rms_norm_eps"])
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config["hidden_size"], config["rms_norm_eps"])
        self.mlp = Mlp(config)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor, parts: Sequence[Part]) -> Tensor:
        """[tokens, hidden size] in and out."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cos, sin, parts)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))  # type: ignore[no-any-return]


class Body(nn.Module):
    """Everything below the output head."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Block(config) for _ in range(config["num_hidden_layers"]))
        self.norm = nn.RMSNorm(config["hidden_size"], config["rms_norm_eps"])


class Transformer(nn.Module):
    """A causal language model.

    checkpointing: keep only each layer's input for the gradient, and compute the layer again when it is needed; the
    same of the output head where its logits are many.
    """

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` is the content of config.json.

        Raises:
            ValueError: an architecture other than these (see dopr.architecture).
        """
        super().__init__()
        self.config = dict(config)
        self.checkpointing = False
        angles = rotary_angles(config)
        self.model = Body(config)
        self.lm_head = (
            None
            if config.get("tie_word_embeddings", False)
            else nn.Linear(config["hidden_size"], config["vocab_size"], bias=False)
        )
        self.register_buffer("cos", torch.cat([angles.cos()] * 2, -1), persistent=False)
        self.register_buffer("sin", torch.cat([-angles.sin(), angles.sin()], -1), persistent=False)

    @property
    def layers(self) -> list[nn.Module]:
        """The blocks, first to last."""
        return list(self.model.layers)

    @property
    def device(self) -> torch.device:
        """Where its weights are, and what it reads must be."""
        return self.get_buffer("cos").device

    def forward(self, ids: Tensor) -> Tensor:
        """Normalised hidden states [rows, length, hidden size] of token ids [rows, length], padded on the right."""
        return self.read(rows_of(ids))[: ids.numel()].view(*ids.shape, -1)

    def read(self, layout: Layout) -> Tensor:
        """Normalised hidden states [tokens, hidden size]."""
        hidden = self.model.embed_tokens(layout.tokens)
        cos, sin = (self.get_buffer(name)[layout.positions, None].to(hidden.dtype) for name in ("cos", "sin"))
        parts = [part.cast(hidden.dtype) for part in layout.parts]
        for block in self.model.layers:
            hidden = self._through(block, hidden, cos, sin, parts)
        return self.model.norm(hidden)  # type: ignore[no-any-return]

    def _through(self, block: Callable[..., Tensor], *inputs: Any) -> Tensor:
        if self.checkpointing and torch.is_grad_enabled():  # a layer draws no random numbers
            return checkpoint(block, *inputs, use_reentrant=False, preserve_rng_state=False)  # type: ignore[no-any-return]
        return block(*inputs)

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits [..., vocabulary] of hidden states."""
        weight = self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight
        return product(hidden.flatten(0, -2), weight).view(*hidden.shape[:-1], -1)

    def through_head(self, score: Callable[[Tensor, Tensor], Tensor], hidden: Tensor, targets: Tensor) -> Tensor:
        """score(logits [tokens, vocabulary], targets [tokens]) of hidden states [tokens, hidden size], a row a token;
        in pieces where the logits are many and need not be kept."""

        def piece(hidden: Tensor, targets: Tensor) -> Tensor:
            return score(self.logits(hidden), targets)

        size = scored_at_once(self.config["vocab_size"])
        if len(hidden) <= size or (torch.is_grad_enabled() and not self.checkpointing):
            return piece(hidden, targets)
        pieces = zip(hidden.split(size), targets.split(size), strict=True)
        return torch.cat([self._through(piece, *part) for part in pieces])


def rotate(vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding; the first half of sin is negated, so that swapping the halves is all that is left to do."""
    return vectors * cos + vectors.roll(vectors.shape[-1] // 2, -1) * sin
