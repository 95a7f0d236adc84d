"""Attention over packed batches, registered with transformers under the name PACKED.

Without `segments` it is transformers' own sdpa attention, except for single queries on a CPU: there PyTorch's fused
kernel takes a third longer than two matrix products. With segments (dopr.models.packing), the tokens of one flat
sequence attend in rows that are gathered from it, so that a prompt shared by a group is computed once.

A network supports packed batches if every layer attends to all earlier tokens and adds nothing to the scores.
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
NO_MASK = torch.empty(0, 0, 0, 0)  # a 4-dimensional mask, which transformers takes as ready-made and does not build one


def is_plain(config: PreTrainedConfig) -> bool:
    """Return whether every layer attends to all earlier tokens and adds nothing to the scores."""
    layer_types = getattr(config, "layer_types", None)
    if layer_types:
        return set(layer_types) == {"full_attention"} and not _has_model_window(config)
    return not _has_model_window(config) and not getattr(config, "attn_logit_softcapping", None)


def _has_model_window(config: PreTrainedConfig) -> bool:
    """Return whether one sliding window, shorter than the context, applies to all layers (Mistral, Phi-3)."""
    window = getattr(config, "sliding_window", None)
    by_layer = getattr(config, "layer_types", None) or not getattr(config, "use_sliding_window", True)
    return bool(window) and not by_layer and window < config.max_position_embeddings


def packed_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    segments: Sequence[Segment] | None = None,
    scaling: float | None = None,
    **settings: Any,
) -> tuple[Tensor, None]:
    """Compute attention with the signature of transformers' attention functions.

    Args:
        query: [batch, heads, tokens, size]; key and value have the same shape, but may have fewer heads.
        segments: Of a packed batch, whose batch size is 1.

    Returns:
        [batch, tokens, heads, size], and no attention weights.
    """
    attention_mask = None if attention_mask is None or attention_mask.numel() == 0 else attention_mask
    if segments is None and query.shape[2] == 1 and query.device.type == "cpu":
        return _attend_one_query(query, key, value, attention_mask, scaling)[:, None], None
    if segments is None:
        out: tuple[Tensor, None] = sdpa_attention_forward(
            module, query, key, value, attention_mask, scaling=scaling, **settings
        )
        return out
    query, key, value = (tensor.squeeze(0).transpose(0, 1) for tensor in (query, key, value))  # [tokens, heads, size]
    return torch.cat([_attend(segment, query, key, value, scaling) for segment in segments])[None], None


def _attend_one_query(query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None, scaling: float | None) -> Tensor:
    """Attend with one query per row, [rows, heads, size]; query heads that share a key head form one matrix."""
    rows, heads, _, size = query.shape
    key, value = key.flatten(0, 1), value.flatten(0, 1)
    grouped = query.reshape(len(key), -1, size) * (size**-0.5 if scaling is None else scaling)
    scores = torch.bmm(grouped, key.transpose(1, 2)).view(rows, heads, -1)
    if mask is not None:
        scores.masked_fill_(~mask[:, 0], float("-inf"))
    probabilities = scores.softmax(-1, dtype=torch.float32).to(value.dtype)
    return torch.bmm(probabilities.view(len(key), -1, scores.shape[-1]), value).view(rows, heads, -1)


def _attend(segment: Segment, query: Tensor, key: Tensor, value: Tensor, scaling: float | None) -> Tensor:
    """Attend within a segment, [queries without padding, heads, size].

    With a bias, the queries of all query heads that share a key head are concatenated, so that keys are not repeated.
    """
    rows, length = segment.queries.shape
    heads, kv_heads = query.shape[1], key.shape[1]
    query = query[segment.queries].transpose(1, 2)  # [rows, heads, queries, size]
    key, value = key[segment.keys].transpose(1, 2), value[segment.keys].transpose(1, 2)
    if segment.bias is None:
        out = scaled_dot_product_attention(
            query, key, value, is_causal=True, scale=scaling, enable_gqa=heads != kv_heads
        )
    else:
        group = heads // kv_heads
        grouped = query.reshape(rows, kv_heads, group * length, -1)
        bias = segment.repeated_bias(group)
        out = scaled_dot_product_attention(grouped, key, value, attn_mask=bias, scale=scaling)
    out = out.reshape(rows, heads, length, -1).transpose(1, 2)
    return out.reshape(rows * length, heads, -1)[segment.query_slots]


AttentionInterface.register(PACKED, packed_attention)
AttentionMaskInterface.register(PACKED, sdpa_mask)
