"""A cached decoder for the Llama family (Llama, Qwen2 and their distills), straight from the weights.

The policy is trained as a transformers model; this is the same arithmetic arranged for sampling: fused projections,
one preallocated key-value cache, no per-call bookkeeping. It reads the Hugging Face layout, so a checkpoint can be
sampled without importing transformers. A test holds its log-probabilities to the transformers model's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import rms_norm, silu

FAMILIES = ("qwen2", "llama")


@dataclass
class Layer:
    """Weights of one block, fused and transposed: x @ weight gives the projection."""

    attention_norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    output: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor


@dataclass
class Cache:
    """Keys and values of every layer, [rows * kv heads, length, head size], and where padding lies.

    mask: [rows * kv heads, 1, length], 0 or -inf. filled: positions written so far. offset: [rows], left padding.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor
    filled: int
    offset: Tensor


class Decoder:
    """Next-token logits with a key-value cache."""

    def __init__(self, config: Mapping[str, Any], weights: Mapping[str, Tensor]) -> None:
        """`config` is the content of config.json.

        Raises:
            ValueError: an architecture this decoder does not know.
        """
        if config["model_type"] not in FAMILIES:
            raise ValueError(f"model type {config['model_type']!r} cannot be sampled; known are {', '.join(FAMILIES)}")
        rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
        if rope.get("rope_type", "default") != "default":
            raise ValueError(f"rotary embedding type {rope['rope_type']!r} is not supported; only 'default' is")
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.head_size = config.get("head_dim") or config["hidden_size"] // self.heads
        self.layers_count = config["num_hidden_layers"]
        self.epsilon = config["rms_norm_eps"]
        self.context = config["max_position_embeddings"]
        theta = rope.get("rope_theta") or config["rope_theta"]
        self.frequencies = 1.0 / theta ** (torch.arange(0, self.head_size, 2).float() / self.head_size)
        self.load_weights(weights)

    @classmethod
    def from_folder(cls, folder: Path) -> Decoder:
        """The decoder of a checkpoint in the Hugging Face layout (safetensors, one file)."""
        return cls(json.loads((folder / "config.json").read_text()), load_file(folder / "model.safetensors"))

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over a state dict; a tied model needs no lm_head.weight."""
        self.embedding = weights["model.embed_tokens.weight"]
        self.head = weights.get("lm_head.weight", self.embedding).t()
        self.final_norm = weights["model.norm.weight"]
        self.layers = [self._layer(weights, f"model.layers.{i}.") for i in range(self.layers_count)]
        self.frequencies = self.frequencies.to(self.embedding.device)

    def _layer(self, weights: Mapping[str, Tensor], prefix: str) -> Layer:
        def fuse(*names: str) -> Tensor:
            return torch.cat([weights[f"{prefix}{name}.weight"] for name in names]).t().contiguous()

        qkv = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj")
        biased = f"{prefix}{qkv[0]}.bias" in weights
        return Layer(
            attention_norm=weights[prefix + "input_layernorm.weight"],
            qkv=fuse(*qkv),
            qkv_bias=torch.cat([weights[f"{prefix}{name}.bias"] for name in qkv]) if biased else None,
            output=fuse("self_attn.o_proj"),
            mlp_norm=weights[prefix + "post_attention_layernorm.weight"],
            gate_up=fuse("mlp.gate_proj", "mlp.up_proj"),
            down=fuse("mlp.down_proj"),
        )

    def new_cache(self, offset: Tensor, length: int) -> Cache:
        """An empty cache for rows whose first `offset` positions are padding."""
        shape = (len(offset) * self.kv_heads, length, self.head_size)
        like = {"dtype": self.embedding.dtype, "device": self.embedding.device}
        padded = torch.arange(length, device=offset.device) < offset.repeat_interleave(self.kv_heads)[:, None]
        mask = torch.zeros(padded.shape, **like).masked_fill(padded, float("-inf"))[:, None]
        empty = [[torch.zeros(shape, **like) for _ in self.layers] for _ in range(2)]
        return Cache(empty[0], empty[1], mask, 0, offset)

    def expand(self, cache: Cache, rows: Tensor) -> Cache:
        """A cache holding `rows` of this one, in that order; rows may repeat or be missing."""
        lanes = (rows[:, None] * self.kv_heads + torch.arange(self.kv_heads, device=rows.device)).flatten()
        keys, values = ([tensor[lanes] for tensor in half] for half in (cache.keys, cache.values))
        return Cache(keys, values, cache.mask[lanes], cache.filled, cache.offset[rows])

    @torch.no_grad()
    def forward(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Logits [rows, vocabulary] after the last of `tokens` [rows, new], which are appended to the cache."""
        rows, new = tokens.shape
        start, end = cache.filled, cache.filled + new
        positions = (torch.arange(start, end, device=tokens.device) - cache.offset[:, None]).clamp_min(0)
        angles = positions[..., None].float() * self.frequencies
        cos = torch.cat([angles.cos()] * 2, -1)[:, :, None].to(self.embedding.dtype)
        sin = torch.cat([-angles.sin(), angles.sin()], -1)[:, :, None].to(self.embedding.dtype)
        mask = self._causal(cache.mask[:, :, :end], new, start)
        hidden = self.embedding[tokens]
        for i, layer in enumerate(self.layers):
            normed = rms_norm(hidden, hidden.shape[-1:], layer.attention_norm, self.epsilon)
            qkv = normed @ layer.qkv if layer.qkv_bias is None else normed @ layer.qkv + layer.qkv_bias
            qkv = qkv.view(rows, new, self.heads + 2 * self.kv_heads, self.head_size)
            turned, value = qkv.split([self.heads + self.kv_heads, self.kv_heads], 2)
            turned = turned * cos + turned.roll(self.head_size // 2, -1) * sin
            query, key = turned.split([self.heads, self.kv_heads], 2)
            cache.keys[i][:, start:end] = key.transpose(1, 2).reshape(-1, new, self.head_size)
            cache.values[i][:, start:end] = value.transpose(1, 2).reshape(-1, new, self.head_size)
            mixed = self._attend(query, cache.keys[i][:, :end], cache.values[i][:, :end], mask)
            hidden = hidden + mixed @ layer.output
            normed = rms_norm(hidden, hidden.shape[-1:], layer.mlp_norm, self.epsilon)
            gate, up = (normed @ layer.gate_up).chunk(2, -1)
            hidden = hidden + (silu(gate) * up) @ layer.down
        cache.filled = end
        return rms_norm(hidden[:, -1], hidden.shape[-1:], self.final_norm, self.epsilon) @ self.head

    def _causal(self, padding: Tensor, new: int, start: int) -> Tensor:
        """Add the causal part, one query row per group member: [rows * kv heads, group * new, end]."""
        if new == 1:
            return padding
        end = padding.shape[-1]
        future = torch.arange(end, device=padding.device) > torch.arange(start, end, device=padding.device)[:, None]
        causal = torch.zeros(new, end, dtype=padding.dtype, device=padding.device).masked_fill(future, float("-inf"))
        # A padding query sees itself, or its softmax would be 0/0; no real query ever sees it.
        mask = (padding + causal).masked_fill(torch.eye(end, device=padding.device).bool()[start:], 0.0)
        return mask.repeat(1, self.heads // self.kv_heads, 1)

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """[rows, new, heads * head size]; the query heads that share a key head are stacked along the new tokens."""
        rows, new = query.shape[:2]
        group = self.heads // self.kv_heads
        query = query.view(rows, new, self.kv_heads, group, self.head_size).permute(0, 2, 3, 1, 4)
        query = query.reshape(rows * self.kv_heads, group * new, self.head_size)
        scores = torch.baddbmm(mask, query, keys.transpose(1, 2), alpha=self.head_size**-0.5)
        mixed = torch.bmm(scores.softmax(-1), values)
        mixed = mixed.view(rows, self.kv_heads, group, new, self.head_size).permute(0, 3, 1, 2, 4)
        return mixed.reshape(rows, new, self.heads * self.head_size)
