"""Low-rank adapters (LoRA, arXiv 2106.09685) in place of training every weight, by peft.

A projection W x becomes W x + alpha / rank B A x. W is frozen; A is random and B zero at first, so the policy starts as
it was. The network is adapted in place: with its adapters off it is the starting policy, and whoever samples from it or
loads its checkpoints is given the merged weights, W + alpha / rank B A, under the names they had.

peft has no dropout here: the policy that is trained would be another than the one that was sampled from. peft imports
transformers, which takes seconds, so it is imported only where adapters are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from importlib.util import find_spec
from pathlib import Path
from typing import TypeVar

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from dopr.distributed import whole
from dopr.errors import UserError
from dopr.files import write_json
from dopr.recipe import Lora
from dopr.records import derive_seed

Network = TypeVar("Network", bound=nn.Module)
ADAPTER = "default"
BASE = ".base_layer"  # in the names of an adapted projection's own weights
PREFIX = "base_model.model."  # of every name in peft's files


class AdapterError(UserError):
    """Adapters cannot be had here; the message says what to install."""


def adapt(policy: nn.Module, settings: Lora, seed: int) -> None:
    """Put adapters in float32 on the policy's projections and freeze all else, in place; what they begin with follows
    from seed.

    Raises:
        AdapterError: peft is not installed.
    """
    if find_spec("peft") is None:
        raise AdapterError("lora: needs peft, which is not installed: pip install 'dopr[lora]'")
    from peft import LoraConfig, inject_adapter_in_model

    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        target_modules=list(settings.targets),
        task_type="CAUSAL_LM",
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed(seed, "lora"))
        inject_adapter_in_model(config, policy, ADAPTER)
    for name, weight in policy.named_parameters():
        if ".lora_" in name:
            weight.data = weight.data.float()  # peft gives it the type of the base, which is not what is optimised


def adapted(policy: nn.Module) -> bool:
    """Whether the policy has adapters."""
    return hasattr(policy, "peft_config")


def sharing(policy: Network) -> Network:
    """A policy of its own modules, for adapters of its own, on the same weights."""
    return deepcopy(policy, {id(shared): shared for shared in (*policy.parameters(), *policy.buffers())})


class Merged(Mapping[str, Tensor]):
    """The policy's state dict as it would be without adapters, with what they add added; without any, as it is.

    Each weight is added to, and put together if it is sharded, when it is asked for, so that they need not all be there
    at once; of a sharded policy all processes must ask for the same.
    """

    def __init__(self, policy: nn.Module) -> None:
        self.policy = policy
        self.weights = {
            name.replace(BASE, ""): weight for name, weight in policy.state_dict().items() if ".lora_" not in name
        }

    @torch.no_grad()
    def __getitem__(self, name: str) -> Tensor:
        weight, layer = self.weights[name], self.policy.get_submodule(name.rpartition(".")[0])
        if name.endswith(".weight") and hasattr(layer, "get_delta_weight"):
            weight = weight + layer.get_delta_weight(ADAPTER)  # type: ignore[operator]
        return whole(weight)

    def __iter__(self) -> Iterator[str]:
        return iter(self.weights)

    def __len__(self) -> int:
        return len(self.weights)

    @torch.no_grad()
    def factors(self) -> dict[str, tuple[Tensor, Tensor]]:
        """What is added to each weight as A [rank, inner] and alpha / rank B [columns, rank]."""
        found = {}
        for name, layer in self.policy.named_modules():
            if hasattr(layer, "get_delta_weight"):
                down, up = (side[ADAPTER].weight.detach() for side in (layer.lora_A, layer.lora_B))
                found[f"{name}.weight"] = (down, up * layer.scaling[ADAPTER])
        return found


def merged(policy: nn.Module) -> dict[str, Tensor]:
    """All of Merged at once."""
    return dict(Merged(policy))


@contextmanager
def without_adapters(policy: nn.Module) -> Iterator[None]:
    """Within it, the policy is what it was before it was adapted."""
    layers = [layer for layer in policy.modules() if hasattr(layer, "enable_adapters")]
    for layer in layers:
        layer.enable_adapters(False)  # type: ignore[operator]
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)  # type: ignore[operator]


def adapters(policy: nn.Module) -> dict[str, Tensor]:
    """The adapters' weights under the names of peft's files; none without adapters; whole, if they are sharded."""
    if not adapted(policy):
        return {}
    from peft import get_peft_model_state_dict

    own = {name: whole(weight) for name, weight in policy.state_dict().items() if ".lora_" in name}
    named = get_peft_model_state_dict(policy, own, ADAPTER, save_embedding_layers=False)
    return {PREFIX + name: weight for name, weight in named.items()}


def save_adapter(policy: nn.Module, weights: dict[str, Tensor], folder: Path) -> None:
    """Write adapters as peft loads them on the base: adapter_config.json and adapter_model.safetensors."""
    folder.mkdir()
    save_file(weights, folder / "adapter_model.safetensors")
    config = policy.peft_config[ADAPTER].to_dict()  # type: ignore[union-attr, index]
    plain = {key: sorted(value) if isinstance(value, set) else value for key, value in config.items()}
    write_json(folder / "adapter_config.json", {**plain, "inference_mode": True})
