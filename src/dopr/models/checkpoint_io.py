"""Policies on disk: checkpoints in the Hugging Face layout, which transformers and vLLM load; safetensors only."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from dopr.files import read_json, write_json
from dopr.models.loading import load_network
from dopr.models.lora import PolicyWeights, adapters, save_adapter
from dopr.models.model_folder import SHARED_FILES, read_tokenizer
from dopr.models.network import Policy


def load(folder: Path, dtype: str = "float32", device: str = "cpu", attention: str | None = None) -> Policy:
    """Load the policy in a folder, after checking its tokenizer; arguments and errors are those of load_network."""
    read_tokenizer(folder)
    return Policy(load_network(folder, dtype, device, attention))


def checkpoint_tensors(policy: Policy) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Return the weights to save, with adapters merged into them, and the adapters' own weights.

    All processes must call this if the policy is sharded.
    """
    tied = policy.network.all_tied_weights_keys
    weights = {name: weight for name, weight in PolicyWeights(policy.network).as_saved() if name not in tied}
    return weights, adapters(policy.network)


def save(
    policy: Policy, folder: Path, like: Path, tensors: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None
) -> None:
    """Write a checkpoint in the policy's dtype.

    Adapters are merged into the weights, and also written to the checkpoint's folder `adapter`.

    Args:
        like: The folder from which configuration and tokenizer are copied.
        tensors: What checkpoint_tensors returned; it must be given if the policy is sharded.
    """
    weights, adapter = tensors or checkpoint_tensors(policy)
    folder.mkdir(parents=True)
    weights = {name: weight.contiguous() for name, weight in weights.items()}
    _save_weights(weights, folder / "model.safetensors")
    for name in SHARED_FILES:
        if (like / name).is_file():
            shutil.copyfile(like / name, folder / name)
    config, dtype = read_json(like / "config.json"), str(policy.network.dtype).removeprefix("torch.")
    key = "torch_dtype" if "torch_dtype" in config else "dtype"  # torch_dtype is the older name
    if config.get(key, dtype) != dtype:  # loaders use the dtype that is written there
        write_json(folder / "config.json", {**config, key: dtype})
    if adapter:
        save_adapter(policy.network, adapter, folder / "adapter")


def _save_weights(weights: dict[str, Tensor], path: Path) -> None:
    """Write a file of weights.

    Raises:
        OSError: The disk refuses it, with the number that the error of safetensors has only in its text.
    """
    try:
        save_file(weights, path, metadata={"format": "pt"})
    except SafetensorError as error:
        if found := re.search(r"os error (\d+)", str(error)):
            raise OSError(int(found[1]), os.strerror(int(found[1])), str(path)) from None
        raise
