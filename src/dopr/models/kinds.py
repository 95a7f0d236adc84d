"""Which model types can be trained, by their config.json, before weights are downloaded or loaded."""

from __future__ import annotations

from collections.abc import Mapping
from inspect import signature
from pathlib import Path
from typing import Any

from dopr.errors import UserError, suggestion
from dopr.files import DataError, read_json


def check_kind(config: Mapping[str, Any]) -> None:
    """Check that transformers has a causal language model for a config.json, without code that comes with the model.

    Raises:
        ValueError: It has none; the message says why, and what to do instead.
    """
    kind = config.get("model_type")
    if config.get("quantization_config"):
        method = config["quantization_config"].get("quant_method", "unknown")
        raise ValueError(
            f"quantization_config: the weights are quantised ({method}) and cannot be trained; give the model they "
            "were made from"
        )
    if config.get("is_encoder_decoder"):
        raise ValueError(f"model type {kind!r} has an encoder and a decoder; give a decoder-only model")
    known = causal_kinds()
    if kind not in known:
        raise ValueError(_unknown_message(kind, config, known))


def check_config(path: Path, where: str) -> None:
    """Check the model type in the config.json at `path`.

    Raises:
        DataError: It cannot be trained; the message begins with `where`.
    """
    try:
        check_kind(read_json(path))
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None


def _unknown_message(kind: Any, config: Mapping[str, Any], known: list[str]) -> str:
    """Return why a model type that transformers does not know is refused."""
    from transformers import __version__

    reason = f"transformers {__version__} has no causal language model of model type {kind!r}"
    if "AutoModelForCausalLM" in config.get("auto_map", {}):
        return f"{reason}, and code that comes with a model is never run; give a model of a type that transformers has"
    return f"{reason}{suggestion(str(kind), known)}; give another model, or install a version that has it"


def causal_kinds() -> list[str]:
    """Return the model types that AutoModelForCausalLM knows."""
    from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES  # its import takes seconds

    return list(MODEL_FOR_CAUSAL_LM_MAPPING_NAMES)


def check_samples(network: Any) -> None:
    """Check that the torch engine can sample from a network.

    Raises:
        UserError: Its layers keep states that cannot be copied to each sample of a prompt, or it has no position_ids.
    """
    from transformers import DynamicCache
    from transformers.cache_utils import LinearAttentionCacheLayerMixin

    kind, cache = network.config.model_type, DynamicCache(config=network.config)
    parameters = signature(type(network).forward).parameters
    if (
        any(isinstance(layer, LinearAttentionCacheLayerMixin) for layer in cache.layers)
        or "position_ids" not in parameters
    ):
        raise UserError(
            f"rollout.engine: torch cannot sample from model type {kind!r}, whose layers keep more than keys and "
            "values or take no positions; set it to vllm"
        )
