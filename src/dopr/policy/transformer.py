"""The policy network: the Llama family (Llama, Qwen2 and their distills) in plain PyTorch.

Parameters are named as in the Hugging Face layout, so a checkpoint goes in and out as it is; a test holds outputs and
gradients to the transformers models'. Ours is for speed: importing theirs costs every job seconds, and each forward
of a small policy twice the time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention, silu

from dopr.architecture import rotary_angles


class Attention(nn.Module):
    """Causal self-attention with grouped key-value heads and rotary positions."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        size, self.heads = config["hidden_size"], config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.head_size = config.get("head_dim") or size // self.heads
        biased = config["model_type"] == "qwen2" or bool(config.get("attention_bias"))
        self.q_proj = nn.Linear(size, self.heads * self.head_size, bias=biased)
        self.k_proj = nn.Linear(size, self.kv_heads * self.head_size, bias=biased)
        self.v_proj = nn.Linear(size, self.kv_heads * self.head_size, bias=biased)
        self.o_proj = nn.Linear(self.heads * self.head_size, size, bias=False)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[rows, length, hidden size] in and out; cos and sin: [length, head size]."""
        split = (*hidden.shape[:2], -1, self.head_size)
        query, key, value = (p(hidden).view(split).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        query, key = rotate(query, cos, sin), rotate(key, cos, sin)
        grouped = self.heads != self.kv_heads
        mixed = scaled_dot_product_attention(query, key, value, is_causal=True, enable_gqa=grouped)
        return self.o_proj(mixed.transpose(1, 2).flatten(2))  # type: ignore[no-any-return]


class Mlp(nn.Module):
    """The gated feed-forward layer."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        size, inner = config["hidden_size"], config["intermediate_size"]
        self.gate_proj = nn.Linear(size, inner, bias=False)
        self.up_proj = nn.Linear(size, inner, bias=False)
        self.down_proj = nn.Linear(inner, size, bias=False)

    def forward(self, hidden: Tensor) -> Tensor:
        """[..., hidden size] in and out."""
        return self.down_proj(silu(self.gate_proj(hidden)) * self.up_proj(hidden))  # type: ignore[no-any-return]


class Block(nn.Module):
    """One layer: attention and feed-forward, each normalised before and added."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.input_layernorm = nn.RMSNorm(config["hidden_size"], config["rms_norm_eps"])
        self.self_attn = Attention(config)
        self.post_attention_layernorm = nn.RMSNorm(config["hidden_size"], config["rms_norm_eps"])
        self.mlp = Mlp(config)

    def forward(self, hidden: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """[rows, length, hidden size] in and out."""
        hidden = hidden + self.self_attn(self.input_layernorm(hidden), cos, sin)
        return hidden + self.mlp(self.post_attention_layernorm(hidden))  # type: ignore[no-any-return]


class Body(nn.Module):
    """Everything below the output head."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        super().__init__()
        self.embed_tokens = nn.Embedding(config["vocab_size"], config["hidden_size"])
        self.layers = nn.ModuleList(Block(config) for _ in range(config["num_hidden_layers"]))
        self.norm = nn.RMSNorm(config["hidden_size"], config["rms_norm_eps"])


class Transformer(nn.Module):
    """A causal language model."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """`config` is the content of config.json.

        Raises:
            ValueError: an architecture other than these, or a scaled rotary embedding.
        """
        super().__init__()
        self.config = dict(config)
        angles = rotary_angles(config)
        self.model = Body(config)
        self.lm_head = (
            None
            if config.get("tie_word_embeddings", False)
            else nn.Linear(config["hidden_size"], config["vocab_size"], bias=False)
        )
        self.register_buffer("cos", torch.cat([angles.cos()] * 2, -1), persistent=False)
        self.register_buffer("sin", torch.cat([-angles.sin(), angles.sin()], -1), persistent=False)

    def forward(self, ids: Tensor) -> Tensor:
        """Normalised hidden states [rows, length, hidden size] of token ids [rows, length], padded on the right."""
        length = ids.shape[1]
        hidden = self.model.embed_tokens(ids)
        cos, sin = (self.get_buffer(name)[:length].to(hidden.dtype) for name in ("cos", "sin"))
        for block in self.model.layers:
            hidden = block(hidden, cos, sin)
        return self.model.norm(hidden)  # type: ignore[no-any-return]

    def logits(self, hidden: Tensor) -> Tensor:
        """Next-token logits [..., vocabulary] of hidden states."""
        return linear(hidden, self.model.embed_tokens.weight if self.lm_head is None else self.lm_head.weight)


def rotate(vectors: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary embedding; the first half of sin is negated, so that swapping the halves is all that is left to do."""
    return vectors * cos + vectors.roll(vectors.shape[-1] // 2, -1) * sin
