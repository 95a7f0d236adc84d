"""A cached decoder for the Llama family (Llama, Qwen2 and their distills), straight from the weights.

The same arithmetic as the policy network's, arranged for sampling, where a step of few rows costs what its calls cost:
fused projections, one preallocated cache that takes keys and values in one copy, rotation in place, the square root of
the norm's size folded into its weight. It reads the Hugging Face layout, so a checkpoint can be sampled without
importing transformers. A test holds its log-probabilities to the transformers model's.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.linalg import vector_norm
from torch.nn.functional import embedding, silu

from dopr.architecture import rotary_angles
from dopr.model_folder import read_shape, read_weights
from dopr.products import product

Pair = tuple[Tensor, Tensor]  # of an adapter: A [rank, inner] and B [columns, rank], with its factor
FUSED = {
    "qkv": ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"),
    "output": ("self_attn.o_proj",),
    "gate_up": ("mlp.gate_proj", "mlp.up_proj"),
    "down": ("mlp.down_proj",),
}


@dataclass
class Layer:
    """Weights of one block; the norms' are scaled (see Decoder._normed). adapters: by projection, see Decoder.adapt."""

    attention_norm: Tensor
    qkv: Tensor
    qkv_bias: Tensor | None
    output: Tensor
    mlp_norm: Tensor
    gate_up: Tensor
    down: Tensor
    adapters: dict[str, Pair] = field(default_factory=dict)

    def project(self, name: str, rows: Tensor) -> Tensor:
        """rows [rows, inner] through a projection, and through its adapters."""
        out = product(rows, getattr(self, name), self.qkv_bias if name == "qkv" else None)
        pair = self.adapters.get(name)
        return out if pair is None else out + low_rank(rows, *pair)


@dataclass
class Cache:
    """Keys and values of every layer, each [2, rows, kv heads, length, head size].

    mask: [rows * kv heads, 1, length], 0 or -inf at
    padding. turns: [rows, length, 1, head size / 2], the rotation of each place. filled: positions written so far.
    """

    layers: list[Tensor]
    mask: Tensor
    turns: Tensor
    filled: int


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
        self.margin = torch.tensor(math.sqrt(config["hidden_size"] * config["rms_norm_eps"]))
        self.context = config["max_position_embeddings"]
        angles = rotary_angles(config)
        self.rotation = torch.polar(torch.ones_like(angles), angles)
        self.load_weights(weights)

    @classmethod
    def from_folder(cls, folder: Path, device: str = "cpu") -> Decoder:
        """The decoder of a checkpoint in the Hugging Face layout."""
        return cls(read_shape(folder), {name: weight.to(device) for name, weight in read_weights(folder).items()})

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.embedding.device

    @torch.no_grad()
    def load_weights(self, weights: Mapping[str, Tensor]) -> None:
        """Take over a state dict; a tied model needs no lm_head.weight."""
        self.embedding = weights["model.embed_tokens.weight"]
        self.head = weights.get("lm_head.weight", self.embedding)
        self.final_norm = self._scaled(weights["model.norm.weight"])
        parts = [part for names in FUSED.values() for part in names]
        self.columns = {part: len(weights[f"model.layers.0.{part}.weight"]) for part in parts}
        self.layers = [self._layer(weights, f"model.layers.{i}.") for i in range(self.layers_count)]
        self.rotation, self.margin = self.rotation.to(self.device), self.margin.to(self.device)

    def _layer(self, weights: Mapping[str, Tensor], prefix: str) -> Layer:
        biased = f"{prefix}self_attn.q_proj.bias" in weights
        return Layer(
            attention_norm=self._scaled(weights[prefix + "input_layernorm.weight"]),
            qkv=self._qkv(weights, prefix, "weight"),
            qkv_bias=self._qkv(weights, prefix, "bias") if biased else None,
            output=weights[prefix + "self_attn.o_proj.weight"],
            mlp_norm=self._scaled(weights[prefix + "post_attention_layernorm.weight"]),
            gate_up=torch.cat([weights[f"{prefix}mlp.{name}_proj.weight"] for name in ("gate", "up")]),
            down=weights[prefix + "mlp.down_proj.weight"],
        )

    def _qkv(self, weights: Mapping[str, Tensor], prefix: str, kind: str) -> Tensor:
        return self._paired(torch.cat([weights[f"{prefix}{name}.{kind}"] for name in FUSED["qkv"]]))

    def _paired(self, joined: Tensor) -> Tensor:
        """Query, key and value projections; within each query and key head, i and i + size / 2 side by side."""
        turned = (self.heads + self.kv_heads) * self.head_size
        paired = joined[:turned].unflatten(0, (-1, 2, self.head_size // 2)).transpose(1, 2)
        return torch.cat([paired.flatten(0, 2), joined[turned:]])

    @torch.no_grad()
    def adapt(self, runs: Sequence[Mapping[str, Pair]]) -> None:
        """Batches are of several runs from now on, equally many rows of each, in order; to each row is added what its
        run's adapters add. They are of the same projections and ranks, by the name of the weight."""
        for i, layer in enumerate(self.layers):
            prefix = f"model.layers.{i}."
            found = {
                name: [self._joined(name, prefix, run) for run in runs]
                for name, parts in FUSED.items()
                if any(f"{prefix}{part}.weight" in runs[0] for part in parts)
            }
            layer.adapters = {
                name: (torch.stack([down for down, _ in each]), torch.stack([up for _, up in each]))
                for name, each in found.items()
            }

    def _joined(self, name: str, prefix: str, run: Mapping[str, Pair]) -> Pair:
        """The adapters of a fused projection: A [ranks, inner] and B [columns, ranks], in which each part's columns
        follow from its own ranks alone, and those of a part without adapters from none."""
        pairs = [run.get(f"{prefix}{part}.weight") for part in FUSED[name]]
        down = torch.cat([pair[0] for pair in pairs if pair])
        ups = [
            pair[1] if pair else down.new_zeros(self.columns[part], 0)
            for part, pair in zip(FUSED[name], pairs, strict=True)
        ]
        up = torch.block_diag(*ups)
        return down, self._paired(up) if name == "qkv" else up

    def _scaled(self, weight: Tensor) -> Tensor:
        return weight.float().mul(math.sqrt(len(weight)))

    def new_cache(self, offset: Tensor, length: int) -> Cache:
        """An empty cache for rows whose first `offset` positions are padding.

        Raises:
            IndexError: a row would be longer than the model's context.
        """
        places = torch.arange(length, device=offset.device)
        padded = places < offset.repeat_interleave(self.kv_heads)[:, None]
        mask = self.embedding.new_zeros(padded.shape).masked_fill(padded, float("-inf"))[:, None]
        turns = self.rotation[(places - offset[:, None]).clamp_min(0), None]
        shape = (2, len(offset), self.kv_heads, length, self.head_size)
        return Cache([self.embedding.new_zeros(shape) for _ in self.layers], mask, turns, 0)

    def expand(self, cache: Cache, rows: Tensor) -> Cache:
        """A cache holding `rows` of this one, in that order; rows may repeat or be missing."""
        mask = cache.mask.unflatten(0, (-1, self.kv_heads))[rows].flatten(0, 1)
        return Cache([kept[:, rows] for kept in cache.layers], mask, cache.turns[rows], cache.filled)

    @torch.inference_mode()
    def forward(self, tokens: Tensor, cache: Cache) -> Tensor:
        """Logits [rows, vocabulary] after the last of `tokens` [rows, new], which are appended to the cache."""
        new = tokens.shape[1]
        start, end = cache.filled, cache.filled + new
        mask = self._causal(cache.mask[:, :, :end], new, start)
        logits = self.forward_at(slice(start, end), tokens, cache, mask)
        cache.filled = end
        return logits

    def forward_at(self, places: slice | Tensor, tokens: Tensor, cache: Cache, mask: Tensor) -> Tensor:
        """The same with tokens written to given places of the cache, of which as many are read as the mask
        [rows * kv heads, 1 or group * new, places read] is long."""
        rows, new = tokens.shape
        turn, end = cache.turns[:, places].flatten(0, 1), mask.shape[-1]
        hidden = embedding(tokens.flatten(), self.embedding)
        turned = self.heads + self.kv_heads
        for layer, kept in zip(self.layers, cache.layers, strict=True):
            normed = self._normed(hidden, layer.attention_norm)
            qkv = layer.project("qkv", normed).view(rows * new, -1, self.head_size)
            rotate_in_place(qkv[:, :turned], turn)
            fresh = qkv[:, self.heads :].view(rows, new, 2, self.kv_heads, -1)
            kept[:, :, :, places] = fresh.permute(2, 0, 3, 1, 4)
            keys, values = kept.flatten(1, 2)[:, :, :end].unbind()
            mixed = self._attend(qkv[:, : self.heads].view(rows, new, self.heads, -1), keys, values, mask)
            hidden = hidden + layer.project("output", mixed)
            gate, up = layer.project("gate_up", self._normed(hidden, layer.mlp_norm)).chunk(2, -1)
            hidden = hidden + layer.project("down", silu(gate) * up)
        last = hidden.view(rows, new, -1)[:, -1]
        return product(self._normed(last, self.final_norm), self.head)

    def _normed(self, hidden: Tensor, weight: Tensor) -> Tensor:
        """hidden / sqrt(mean of squares + epsilon) * weight in three calls: sqrt(size) is part of the weight."""
        size = vector_norm(hidden, dim=-1, keepdim=True, dtype=torch.float32)
        return (hidden / torch.hypot(size, self.margin) * weight).to(hidden.dtype)

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
        """[rows * new, heads * head size]; the query heads that share a key head are stacked above the new tokens."""
        rows, new, heads, size = query.shape
        group = heads // self.kv_heads
        stacked = query.unflatten(2, (self.kv_heads, group)).permute(0, 2, 3, 1, 4)
        stacked = stacked.reshape(rows * self.kv_heads, group * new, size)
        scores = torch.baddbmm(mask, stacked, keys.transpose(1, 2), alpha=size**-0.5)
        mixed = torch.bmm(scores.softmax(-1), values)
        mixed = mixed.view(rows, self.kv_heads, group, new, size).permute(0, 3, 1, 2, 4)
        return mixed.reshape(rows * new, heads * size)


def low_rank(rows: Tensor, down: Tensor, up: Tensor) -> Tensor:
    """What adapters add to rows of several runs, equally many of each: down [runs, rank, inner], up [runs, columns,
    rank]."""
    parts = rows.view(len(down), -1, rows.shape[-1])
    return torch.bmm(torch.bmm(parts, down.mT), up.mT).flatten(0, 1)


def rotate_in_place(vectors: Tensor, turn: Tensor) -> None:
    """Rotary embedding as a complex product; load_weights has put the two halves of each pair side by side."""
    exact = vectors.float()  # itself, if it is float32
    torch.view_as_complex(exact.unflatten(-1, (-1, 2))).mul_(turn)
    if exact is not vectors:
        vectors.copy_(exact)
