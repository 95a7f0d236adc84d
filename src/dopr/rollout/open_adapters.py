"""The engine that the configuration names, for several runs with adapters on one base."""

from __future__ import annotations

from pathlib import Path

from dopr.config import Sampling
from dopr.policy.transformer import Transformer
from dopr.recipe import Lora
from dopr.rollout.together import AdapterEngine
from dopr.rollout.torch_adapters import TorchAdapters
from dopr.rollout.torch_engine import TorchEngine


def open_adapter_engine(sampling: Sampling, lora: Lora, folder: Path, base: Transformer, runs: int) -> AdapterEngine:
    """An engine for several runs' adapters on a base, which is the policy of a folder in the type it is sampled in."""
    if sampling.engine == "torch":
        engine = TorchEngine.from_folder(folder, base.device.type, static=True)
        engine.load_weights(base.state_dict())
        return TorchAdapters(engine)
    from dopr.rollout.vllm_adapters import VllmAdapters  # only where it is asked for

    dtype = str(base.model.embed_tokens.weight.dtype).removeprefix("torch.")
    return VllmAdapters(folder, dtype, sampling.kv_cache_gb, runs, lora.rank)
