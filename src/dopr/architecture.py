"""What the policy network and the cached decoder must agree on."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

FAMILIES = ("qwen2", "llama")
REQUIRED = (
    "hidden_size",
    "intermediate_size",
    "max_position_embeddings",
    "num_attention_heads",
    "num_hidden_layers",
    "rms_norm_eps",
    "vocab_size",
)
REFUSED = {  # keys of config.json that would make another network -> their value where they do nothing
    "hidden_act": "silu",
    "mlp_bias": False,
    "use_sliding_window": False,
    "quantization_config": None,
    "partial_rotary_factor": 1.0,
}


def check_supported(config: Mapping[str, Any]) -> None:
    """A network of these families, with nothing that ours has not.

    Raises:
        ValueError: it is another; names the key and its value.
    """
    family = config.get("model_type")
    if family not in FAMILIES:
        raise ValueError(f"model type {family!r} is not supported; known are {', '.join(FAMILIES)}")
    missing = [key for key in REQUIRED if key not in config]
    if missing:
        raise ValueError(f"{', '.join(missing)}: missing")
    for key, value in REFUSED.items():
        if config.get(key, value) not in (value, None):
            raise ValueError(f"{key} {config[key]!r} is not supported; only {value!r} is")
    if family == "llama" and config.get("attention_bias"):
        raise ValueError("attention_bias is not supported in a llama")
    rope = rotary_settings(config)
    if rope["rope_type"] not in SCALINGS:
        known = ", ".join(SCALINGS)
        raise ValueError(f"rotary embedding type {rope['rope_type']!r} is not supported; known are {known}")


def rotary_settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """rope_type, rope_theta and what belongs to the type, from any version of config.json."""
    found = config.get("rope_parameters") or config.get("rope_scaling") or {}
    named = {"rope_type": found.get("type", "default"), "rope_theta": config.get("rope_theta", 10000.0)}
    return {**named, **found}


def rotary_angles(config: Mapping[str, Any]) -> Tensor:
    """Angle of each position and pair of dimensions, [context, head size / 2].

    Raises:
        ValueError: the network or its rotary embedding is not supported; names it.
    """
    import torch  # its import takes seconds, and Snakemake, which checks what is supported, needs none of it

    check_supported(config)
    rope = rotary_settings(config)
    size = config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"]
    frequencies = 1.0 / rope["rope_theta"] ** (torch.arange(0, size, 2, device="cpu").float() / size)
    frequencies = SCALINGS[rope["rope_type"]](frequencies, rope)
    positions = torch.arange(config["max_position_embeddings"], device="cpu").float()
    angles: Tensor = positions[:, None] * frequencies
    return angles


def stretched(frequencies: Tensor, rope: Mapping[str, Any]) -> Tensor:
    """Every wave longer by the factor, as if positions were divided by it."""
    longer: Tensor = frequencies / rope["factor"]
    return longer


def stretched_by_length(frequencies: Tensor, rope: Mapping[str, Any]) -> Tensor:
    """Llama 3.1's: waves that turn less than low_freq_factor times in the original context become longer by the factor,
    those that turn more than high_freq_factor times stay, and between the two it goes linearly in the turns."""
    turns = rope["original_max_position_embeddings"] * frequencies / (2 * math.pi)
    low, high = rope["low_freq_factor"], rope["high_freq_factor"]
    kept = ((turns - low) / (high - low)).clamp(0, 1)
    longer: Tensor = frequencies * (kept + (1 - kept) / rope["factor"])
    return longer


SCALINGS: Mapping[str, Callable[[Tensor, Mapping[str, Any]], Tensor]] = {
    "default": lambda frequencies, _: frequencies,
    "linear": stretched,
    "llama3": stretched_by_length,
}
