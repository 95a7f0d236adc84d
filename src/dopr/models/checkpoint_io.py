"""Policies on disk: checkpoints in the Hugging Face layout, safetensors only, as transformers and vLLM load them."""

from __future__ import annotations

import shutil
from pathlib import Path

from safetensors.torch import save_file
from torch import Tensor

from dopr.files import read_json, write_json
from dopr.models.loading import load_network
from dopr.models.lora import PolicyWeights, adapters, save_adapter
from dopr.models.model_folder import read_tokenizer
from dopr.models.network import Policy

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


def load(folder: Path, dtype: str = "float32", device: str = "cpu", attention: str | None = None) -> Policy:
    """Load the policy in a folder that has a tokenizer too; arguments and errors are those of load_network."""
    read_tokenizer(folder)
    return Policy(load_network(folder, dtype, device, attention))


def checkpoint_tensors(policy: Policy) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """What is saved of a policy: its weights, with adapters merged into them, and the adapters' own. Where they are
    sharded, all processes must ask for them."""
    tied = policy.network.all_tied_weights_keys
    weights = {name: weight for name, weight in PolicyWeights(policy.network).as_saved() if name not in tied}
    return weights, adapters(policy.network)


def save(
    policy: Policy, folder: Path, like: Path, parts: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None
) -> None:
    """Write a checkpoint in the policy's dtype, with the configuration and tokenizer of the folder `like`; adapters are
    written to its folder `adapter` too. parts: see checkpoint_tensors, where the policy is sharded."""
    weights, adapter = parts or checkpoint_tensors(policy)
    folder.mkdir(parents=True)
    weights = {name: weight.contiguous() for name, weight in weights.items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    for name in SHARED_FILES:
        if (like / name).is_file():
            shutil.copyfile(like / name, folder / name)
    config, dtype = read_json(like / "config.json"), str(policy.network.dtype).removeprefix("torch.")
    key = "torch_dtype" if "torch_dtype" in config else "dtype"  # the older name
    if config.get(key, dtype) != dtype:  # whoever loads it goes by what is written there
        write_json(folder / "config.json", {**config, key: dtype})
    if adapter:
        save_adapter(policy.network, adapter, folder / "adapter")
