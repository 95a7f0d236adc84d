"""Policies on disk: checkpoints in the Hugging Face layout, safetensors only, as transformers and vLLM load them."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from dopr.files import DataError, read_json, write_json
from dopr.policy.transformer import Transformer

SHARED_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
)


def load(folder: Path) -> Transformer:
    """The policy in a folder.

    Raises:
        DataError: the folder holds no checkpoint, or a damaged one, or one of an unsupported kind.
    """
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise DataError(f"{folder} is no model folder: {name} is missing")
    try:
        policy = Transformer(read_json(folder / "config.json"))
        policy.load_state_dict(load_file(folder / "model.safetensors"))
    except (SafetensorError, RuntimeError, ValueError) as error:
        raise DataError(f"{folder}: not a usable checkpoint ({str(error).splitlines()[0]})") from None
    return policy


def save(policy: Transformer, folder: Path, like: Path) -> None:
    """Write a checkpoint in the policy's dtype, with the configuration and tokenizer of the folder `like`."""
    folder.mkdir(parents=True)
    save_file(policy.state_dict(), folder / "model.safetensors", metadata={"format": "pt"})
    for name in SHARED_FILES:
        if (like / name).is_file():
            shutil.copyfile(like / name, folder / name)
    config, dtype = read_json(like / "config.json"), str(next(policy.parameters()).dtype).removeprefix("torch.")
    key = "torch_dtype" if "torch_dtype" in config else "dtype"  # the older name
    if config.get(key, dtype) != dtype:  # whoever loads it goes by what is written there
        write_json(folder / "config.json", {**config, key: dtype})
