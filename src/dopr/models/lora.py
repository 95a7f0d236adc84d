"""Low-rank adapters (LoRA, arXiv 2106.09685), by peft.

A projection W x becomes W x + alpha / rank B A x. W is frozen. At first A is random and B is zero, so the policy does
not change. Adapters are added to the network in place; with the adapters turned off it is the starting policy. Sampling
engines and checkpoints get the merged weights, W + alpha / rank B A, under their original names.

There is no dropout, because the trained policy would then differ from the one that was sampled from. peft takes seconds
to import, so it is imported only if adapters are used.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.core_model_loading import revert_weight_conversion

from dopr.config.recipe import Lora
from dopr.errors import UserError
from dopr.files import write_json
from dopr.records import derive_seed
from dopr.runtime.distributed import full_tensor

ADAPTER = "default"  # the name of the adapter within peft
BASE_LAYER = ".base_layer"  # is in the names of the original weights of a projection with adapters
FILE_PREFIX = "base_model.model."  # begins every name in peft's files


class AdapterError(UserError):
    """Adapters that cannot be added; the message says what to change or install."""


def add_adapters(network: PreTrainedModel, settings: Lora, seed: int) -> None:
    """Add float32 adapters to the network's linear layers in place, and freeze all other weights.

    Args:
        seed: Decides the initial weights of the adapters.

    Raises:
        AdapterError: peft is not installed, or the network has none of the layers that settings.targets names.
    """
    if find_spec("peft") is None:
        raise AdapterError("lora: needs peft, which is not installed: pip install --editable '.[lora]' in the clone")
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=settings.targets if isinstance(settings.targets, str) else list(settings.targets),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "lora"))
        try:
            inject_adapter_in_model(config, network, ADAPTER)
        except ValueError as error:  # its first line names the layers that were not found
            raise AdapterError(f"lora.targets: {str(error).splitlines()[0]}") from None
    for name, weight in network.named_parameters():
        if ".lora_" in name:
            weight.data = weight.data.float()  # peft uses the dtype of the base, but the optimiser needs float32


def has_adapters(policy: nn.Module) -> bool:
    """Return whether a network has adapters."""
    return hasattr(policy, "peft_config")


class PolicyWeights:
    """The weights of a network, with adapters merged into them.

    Weights are merged, and gathered from their shards, one by one during iteration, so that not all are in memory at
    once. All processes of a sharded network must iterate in step.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        self.network = network

    @torch.no_grad()
    def merged(self) -> Iterator[tuple[str, Tensor]]:
        """Yield weights by their names in the network; tied weights once."""
        tied = self.network.all_tied_weights_keys
        for name, weight in self.network.state_dict().items():
            original_name = name.replace(BASE_LAYER, "")
            if ".lora_" in name or original_name in tied:
                continue
            for delta in self._deltas(original_name):
                weight = weight + delta
            yield original_name, full_tensor(weight)

    def _deltas(self, name: str) -> Iterator[Tensor]:
        """Yield what adapters add to a weight; peft nests its wrappers if a layer has several weights (experts)."""
        path, _, parameter = name.rpartition(".")
        layer: Any = self.network.get_submodule(path)
        while hasattr(layer, "get_delta_weight"):
            if getattr(layer, "parameter_name", "weight") == parameter:
                yield layer.get_delta_weight(ADAPTER)
            layer = layer.base_layer

    def as_saved(self) -> Iterator[tuple[str, Tensor]]:
        """Yield weights by their names in checkpoint files, with a tied output head."""
        weights: Iterable[tuple[str, Tensor]] = self.merged()
        if getattr(self.network, "_weight_conversions", None):
            weights = revert_weight_conversion(self.network, dict(weights)).items()
        tied = {source: target for target, source in self.network.all_tied_weights_keys.items()}
        for name, weight in weights:
            yield name, weight
            if name in tied:
                yield tied[name], weight


@contextmanager
def without_adapters(network: nn.Module) -> Iterator[None]:
    """Turn adapters off inside the context, so that the network is the starting policy."""
    layers: list[Any] = [layer for layer in network.modules() if hasattr(layer, "get_delta_weight")]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def adapters(network: PreTrainedModel) -> dict[str, Tensor]:
    """Return the adapters' weights under the names of peft's files, gathered from all shards; {} without adapters."""
    if not has_adapters(network):
        return {}
    from peft import get_peft_model_state_dict

    weights = {name: full_tensor(weight) for name, weight in network.state_dict().items() if ".lora_" in name}
    named = get_peft_model_state_dict(network, weights, ADAPTER, save_embedding_layers=False)
    return {FILE_PREFIX + name: weight for name, weight in named.items()}


def save_adapter(network: PreTrainedModel, weights: dict[str, Tensor], folder: Path) -> None:
    """Write adapters in peft's format: adapter_config.json and adapter_model.safetensors."""
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    config = network.peft_config[ADAPTER].to_dict()
    serialisable = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    write_json(folder / "adapter_config.json", {**serialisable, "inference_mode": True})
