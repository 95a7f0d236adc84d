"""Policies on disk: checkpoints in the Hugging Face layout, safetensors only, as transformers and vLLM load them."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from dopr.files import DataError, read_json, write_json
from dopr.model_folder import read_shape, read_tokenizer, read_weights
from dopr.policy.lora import adapted, merged, save_adapter
from dopr.policy.transformer import Transformer

SHARED_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "chat_template.jinja",
)


def load(folder: Path, device: str = "cpu") -> Transformer:
    """The policy in a folder, on a device, in float32 whatever its weights are stored in.

    Raises:
        DataError: the folder holds no checkpoint, or a damaged one, or one of an unsupported kind.
    """
    shape = read_shape(folder)
    read_tokenizer(folder)
    weights = {name: weight.to(torch.float32, copy=True) for name, weight in read_weights(folder).items()}
    with torch.device("meta"):  # memory for the weights is taken once, when they are there
        policy = Transformer(shape)
    try:
        policy.load_state_dict(weights, assign=True)
    except RuntimeError as error:
        raise DataError(f"{folder}: not a usable checkpoint ({' '.join(str(error).split())[:300]})") from None
    return policy.to(device)


def save(policy: Transformer, folder: Path, like: Path, weights: dict[str, Tensor] | None = None) -> None:
    """Write a checkpoint in the policy's dtype, with the configuration and tokenizer of the folder `like`; adapters are
    merged into it, and written to its folder `adapter` too. weights: the policy's, where they are sharded."""
    folder.mkdir(parents=True)
    save_file(merged(policy) if weights is None else weights, folder / "model.safetensors", metadata={"format": "pt"})
    for name in SHARED_FILES:
        if (like / name).is_file():
            shutil.copyfile(like / name, folder / name)
    config, dtype = read_json(like / "config.json"), str(next(policy.parameters()).dtype).removeprefix("torch.")
    key = "torch_dtype" if "torch_dtype" in config else "dtype"  # the older name
    if config.get(key, dtype) != dtype:  # whoever loads it goes by what is written there
        write_json(folder / "config.json", {**config, key: dtype})
    if adapted(policy):
        save_adapter(policy, folder / "adapter")
