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
from torch.nn.functional import linear, rms_norm, silu

from dopr.architecture import rotary_angles


@dataclass
class Layer:
    """Weights of one block; all but qkv are transposed, so that x @ weight gives the projection."""

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
        self.heads = config["num_attention_heads"]
        self.kv_heads = config.get("num_key_value_heads") or self.heads
        self.head_size = config.get("head_dim") or config["hidden_size"] // self.heads
        self.layers_count = config["num_hidden_layers"]
        self.epsilon = config["rms_norm_eps"]
        self.context = config["max_position_embeddings"]
        angles = rotary_angles(config)
        self.rotation = torch.polar(torch.ones_like(angles), angles)
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
        self.rotation = self.rotation.to(self.embedding.device)

    def _layer(self, weights: Mapping[str, Tensor], prefix: str) -> Layer:
        biased = f"{prefix}self_attn.q_proj.bias" in weights
        return Layer(
            attention_norm=weights[prefix + "input_layernorm.weight"],
            qkv=self._qkv(weights, prefix, "weight"),
            qkv_bias=self._qkv(weights, prefix, "bias") if biased else None,
            output=weights[prefix + "self_attn.o_proj.weight"].t(),
            mlp_norm=weights[prefix + "post_attention_layernorm.weight"],
            gate_up=torch.cat([weights[f"{prefix}mlp.{name}_proj.weight"] for name in ("gate", "up")]).t().contiguous(),
            down=weights[prefix + "mlp.down_proj.weight"].t(),
        )

    def _qkv(self, weights: Mapping[str, Tensor], prefix: str, kind: str) -> Tensor:
        """Query, key and value projections joined; within each query and key head, i and i + size / 2 side by side."""
        query, key, value = (weights[f"{prefix}self_attn.{name}_proj.{kind}"] for name in "qkv")
        paired = torch.cat([query, key]).unflatten(0, (-1, 2, self.head_size // 2)).transpose(1, 2)
        return torch.cat([paired.flatten(0, 2), value])

    def new_cache(self, offset: Tensor, length: int) -> Cache:
        """An empty cache for rows whose first `offset` positions are padding."""
        shape = (len(offset) * self.kv_heads, length, self.head_size)
        padded = torch.arange(length, device=offset.device) < offset.repeat_interleave(self.kv_heads)[:, None]
        mask = self.embedding.new_zeros(padded.shape).masked_fill(padded, float("-inf"))[:, None]
        empty = [[self.embedding.new_zeros(shape) for _ in self.layers] for _ in range(2)]
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
        positions = torch.arange(start, end, device=tokens.device) - cache.offset[:, None]
        turn = self.rotation[positions.clamp_min(0).flatten(), None]
        mask = self._causal(cache.mask[:, :, :end], new, start)
        hidden = self.embedding[tokens.flatten()]
        for i, layer in enumerate(self.layers):
            normed = rms_norm(hidden, hidden.shape[-1:], layer.attention_norm, self.epsilon)
            qkv = linear(normed, layer.qkv, layer.qkv_bias).view(rows * new, -1, self.head_size)
            turned, value = qkv.tensor_split([self.heads + self.kv_heads], 1)
            query, key = self._rotate(turned, turn).tensor_split([self.heads], 1)
            cache.keys[i][:, start:end] = self._by_lane(key, rows)
            cache.values[i][:, start:end] = self._by_lane(value, rows)
            mixed = self._attend(query, cache.keys[i][:, :end], cache.values[i][:, :end], mask, rows)
            hidden = torch.addmm(hidden, mixed, layer.output)
            normed = rms_norm(hidden, hidden.shape[-1:], layer.mlp_norm, self.epsilon)
            gate, up = torch.mm(normed, layer.gate_up).chunk(2, -1)
            hidden = torch.addmm(hidden, silu(gate) * up, layer.down)
        cache.filled = end
        last = hidden.view(rows, new, -1)[:, -1]
        return rms_norm(last, last.shape[-1:], self.final_norm, self.epsilon) @ self.head

    def _rotate(self, vectors: Tensor, turn: Tensor) -> Tensor:
        """Rotary embedding as a complex product; load_weights has put the two halves of each pair side by side."""
        pairs = torch.view_as_complex(vectors.float().view(*vectors.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turn).flatten(-2).to(vectors.dtype)

    def _by_lane(self, vectors: Tensor, rows: int) -> Tensor:
        """[rows * new, kv heads, size] -> [rows * kv heads, new, size]."""
        return (
            vectors.view(rows, -1, self.kv_heads, self.head_size)
            .transpose(1, 2)
            .reshape(rows * self.kv_heads, -1, self.head_size)
        )

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

    def _attend(self, query: Tensor, keys: Tensor, values: Tensor, mask: Tensor, rows: int) -> Tensor:
        """[rows * new, heads * head size]; the query heads that share a key head are stacked above the new tokens."""
        group, size = self.heads // self.kv_heads, self.head_size
        new = len(query) // rows
        stacked = query.view(rows, new, self.kv_heads, group, size).permute(0, 2, 3, 1, 4)
        stacked = stacked.reshape(rows * self.kv_heads, group * new, size)
        scores = torch.baddbmm(mask, stacked, keys.transpose(1, 2), alpha=size**-0.5)
        mixed = torch.bmm(scores.softmax(-1), values)
        mixed = mixed.view(rows, self.kv_heads, group, new, size).permute(0, 3, 1, 2, 4)
        return mixed.reshape(rows * new, self.heads * size)
