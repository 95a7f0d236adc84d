"""Policies on disk: checkpoints in the Hugging Face layout, safetensors only, as transformers and vLLM load them."""

from __future__ import annotations

import shutil
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from dopr.files import DataError, read_json, write_json
from dopr.model_folder import read_shape, read_tokenizer, read_weights
from dopr.policy.lora import adapters, merged, save_adapter
from dopr.policy.transformer import Transformer

Weights = dict[str, Tensor]
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


def collected(policy: Transformer) -> tuple[Weights, Weights]:
    """What is saved of a policy: its weights, with adapters merged into them, and the adapters' own. Where they are
    sharded, all processes must ask for them."""
    return merged(policy), adapters(policy)


def save(policy: Transformer, folder: Path, like: Path, parts: tuple[Weights, Weights] | None = None) -> None:
    """Write a checkpoint in the policy's dtype, with the configuration and tokenizer of the folder `like`; adapters are
    written to its folder `adapter` too. parts: see collected, where the policy is sharded."""
    weights, adapter = parts or collected(policy)
    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for name in SHARED_FILES:
        if (like / name).is_file():
            shutil.copyfile(like / name, folder / name)
    config, dtype = read_json(like / "config.json"), str(next(policy.parameters()).dtype).removeprefix("torch.")
    key = "torch_dtype" if "torch_dtype" in config else "dtype"  # the older name
    if config.get(key, dtype) != dtype:  # whoever loads it goes by what is written there
        write_json(folder / "config.json", {**config, key: dtype})
    if adapter:
        save_adapter(policy, adapter, folder / "adapter")
