"""The engine that the configuration names, for several runs with adapters on one base."""

from __future__ import annotations

from pathlib import Path

from dopr.rollout.open import Name
from dopr.rollout.together import AdapterEngine
from dopr.rollout.torch_adapters import TorchAdapters
from dopr.rollout.torch_engine import TorchEngine


def open_adapter_engine(
    name: Name, folder: Path, dtype: str, cache_gb: float, device: str, runs: int, rank: int
) -> AdapterEngine:
    """An engine on a model folder for several runs' adapters of a rank; the rest is as in open_engine."""
    if name == "torch":
        return TorchAdapters(TorchEngine.from_folder(folder, device, static=True))
    from dopr.rollout.vllm_adapters import VllmAdapters  # only where it is asked for

    return VllmAdapters(folder, dtype, cache_gb, runs, rank)
