"""Attention over packed batches, registered with transformers under the name PACKED.

Without `parts` it is transformers' own sdpa attention, but for single queries on a CPU: PyTorch's fused kernel takes a
third longer for them than two products. With parts (dopr.models.packing), tokens of one flat sequence attend in rows
that are gathered from it, so that a prompt shared by a group is computed once. A network takes packed batches where
every layer attends to all that lies before, and nothing is added to attention's scores.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedConfig
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from dopr.models.packing import Segment

PACKED = "packed_sdpa"
NO_MASK = torch.empty(0, 0, 0, 0)  # for networks with this attention: a ready mask of none, so that none is made


def is_plain(config: PreTrainedConfig) -> bool:
    """Return whether every layer attends to all that lies before, without further terms in its scores."""
    kinds = getattr(config, "layer_types", None)
    if kinds:
        return set(kinds) == {"full_attention"} and not _windowed_anyway(config)
    return not _windowed_anyway(config) and not getattr(config, "attn_logit_softcapping", None)


def _windowed_anyway(config: PreTrainedConfig) -> bool:
    """A window that is no property of single layers, and shorter than the context (Mistral, Phi-3)."""
    window = getattr(config, "sliding_window", None)
    by_layer = getattr(config, "layer_types", None) or not getattr(config, "use_sliding_window", True)
    return bool(window) and not by_layer and window < config.max_position_embeddings


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    parts: Sequence[Segment] | None = None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Attend as transformers' attention functions do: [batch, heads, tokens, size] to [batch, tokens, heads, size]."""
    attention_mask = None if attention_mask is None or attention_mask.numel() == 0 else attention_mask
    if parts is None and query.shape[2] == 1 and query.device.type == "cpu":
        return _attend_once(query, key, value, attention_mask, scaling)[:, None], None
    if parts is None:
        out: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **settings
        )
        return out
    query, key, value = (tensor.squeeze(0).transpose(0, 1) for tensor in (query, key, value))  # [tokens, heads, size]
    return torch.cat([_attend(part, query, key, value, scaling) for part in parts])[None], None


def _attend_once(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None) -> Tensor:
    """[rows, heads, size] of one query a row; query heads that share a key head are stacked."""
    rows, heads, _, size = query.shape
    key, value = key.flatten(0, 1), value.flatten(0, 1)
    stacked = query.reshape(len(key), -1, size) * (size**-0.5 if scaling is None else scaling)
    scores = torch.bmm(stacked, key.transpose(1, 2)).view(rows, heads, -1)
    if mask is not None:
        scores.masked_fill_(~mask[:, 0], float("-inf"))
    chances = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return torch.bmm(chances.view(len(key), -1, scores.shape[-1]), value).view(rows, heads, -1)


def _attend(part: Segment, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """[real queries, heads, size] of one part; query heads that share a key head are stacked above the queries."""
    rows, most = part.queries.shape
    heads, kv_heads = query.shape[1], key.shape[1]
    query = query[part.queries].transpose(1, 2)  # [rows, heads, queries, size]
    key, value = key[part.keys].transpose(1, 2), value[part.keys].transpose(1, 2)
    if part.bias is None:
        mixed = scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=heads != kv_heads
        )
    else:
        group = heads // kv_heads
        stacked = query.reshape(rows, kv_heads, group * most, -1)
        mixed = scaled_dot_product_attention(stacked, key, value, attn_mask=part.stacked(group), scale=scaling)
    mixed = mixed.reshape(rows, heads, most, -1).transpose(1, 2)
    return mixed.reshape(rows * most, heads, -1)[part.real]


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)
