"""What the policy network and the cached decoder must agree on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

FAMILIES = ("qwen2", "llama")


def rotary_angles(config: Mapping[str, Any]) -> Tensor:
    """Angle of each position and pair of dimensions, [context, head size / 2].

    Raises:
        ValueError: the model type or its rotary embedding is not supported; names it.
    """
    if config["model_type"] not in FAMILIES:
        raise ValueError(f"model type {config['model_type']!r} is not supported; known are {', '.join(FAMILIES)}")
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", "default") != "default":
        raise ValueError(f"rotary embedding type {rope['rope_type']!r} is not supported; only 'default' is")
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies = 1.0 / (rope.get("rope_theta") or config["rope_theta"]) ** (torch.arange(0, size, 2).float() / size)
    angles: Tensor = torch.arange(config["max_position_embeddings"]).float()[:, None] * frequencies
    return angles
