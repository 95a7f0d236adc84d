"""Low-rank adapters (LoRA, arXiv 2106.09685) in place of training every weight, by peft.

A projection W x becomes W x + alpha / rank B A x. W is frozen; A is random and B zero at first, so the policy starts as
it was. The network is adapted in place: with its adapters off it is the starting policy, and whoever samples from it or
loads its checkpoints is given the merged weights, W + alpha / rank B A, under the names they had.

peft has no dropout here: the policy that is trained would be another than the one that was sampled from. peft takes
seconds to import, so it is imported only where adapters are asked for.
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

ADAPTER = "default"
BASE = ".base_layer"  # in the names of an adapted projection's own weights
PREFIX = "base_model.model."  # of every name in peft's files


class AdapterError(UserError):
    """Adapters cannot be had here; the message says what to install."""


def add_adapters(network: PreTrainedModel, settings: Lora, seed: int) -> None:
    """Put adapters in float32 on the network's linear layers and freeze all else, in place.

    What they begin with follows from seed.

    Raises:
        AdapterError: peft is not installed, or the network has none of the layers that settings.targets names.
    """
    if find_spec("peft") is None:
        raise AdapterError("lora: needs peft, which is not installed: pip install 'dopr[lora]'")
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
        except ValueError as error:  # the first line says which layers were looked for
            raise AdapterError(f"lora.targets: {str(error).splitlines()[0]}") from None
    for name, weight in network.named_parameters():
        if ".lora_" in name:
            weight.data = weight.data.float()  # peft gives it the type of the base, which is not what is optimised


def has_adapters(policy: nn.Module) -> bool:
    """Whether the policy has adapters."""
    return hasattr(policy, "peft_config")


class PolicyWeights:
    """The weights of a network as they would be without adapters, with what adapters add added.

    Each weight is added to, and gathered if it is sharded, when it is asked for, so that they need not all be there at
    once; of a sharded network all processes must ask for the same.
    """

    def __init__(self, network: PreTrainedModel) -> None:
        self.network = network

    @torch.no_grad()
    def merged(self) -> Iterator[tuple[str, Tensor]]:
        """Weights by their names in the network; tied ones once."""
        tied = self.network.all_tied_weights_keys
        for name, weight in self.network.state_dict().items():
            plain = name.replace(BASE, "")
            if ".lora_" in name or plain in tied:
                continue
            for change in self._changes(plain):
                weight = weight + change
            yield plain, full_tensor(weight)

    def _changes(self, name: str) -> Iterator[Tensor]:
        """What adapters add to a weight; layers with several weights, as of experts, have one wrapped in the other."""
        path, _, own = name.rpartition(".")
        layer: Any = self.network.get_submodule(path)
        while hasattr(layer, "get_delta_weight"):
            if getattr(layer, "parameter_name", "weight") == own:
                yield layer.get_delta_weight(ADAPTER)
            layer = layer.base_layer

    def as_saved(self) -> Iterator[tuple[str, Tensor]]:
        """Weights by their names in checkpoint files, a tied output head among them."""
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
    """Within it, the network is what it was before it was adapted."""
    layers: list[Any] = [layer for layer in network.modules() if hasattr(layer, "get_delta_weight")]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def adapters(network: PreTrainedModel) -> dict[str, Tensor]:
    """The adapters' weights under the names of peft's files; none without adapters; whole, if they are sharded."""
    if not has_adapters(network):
        return {}
    from peft import get_peft_model_state_dict

    own = {name: full_tensor(weight) for name, weight in network.state_dict().items() if ".lora_" in name}
    named = get_peft_model_state_dict(network, own, ADAPTER, save_embedding_layers=False)
    return {PREFIX + name: weight for name, weight in named.items()}


def save_adapter(network: PreTrainedModel, weights: dict[str, Tensor], folder: Path) -> None:
    """Write adapters as peft loads them on the base: adapter_config.json and adapter_model.safetensors."""
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    config = network.peft_config[ADAPTER].to_dict()
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    write_json(folder / "adapter_config.json", {**plain, "inference_mode": True})
