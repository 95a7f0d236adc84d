"""Open the rollout engine that the configuration names."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path

from transformers import PreTrainedModel

from dopr.config.schema import SamplingParams
from dopr.models.model_folder import end_tokens, read_shape
from dopr.rollout.data_parallel import DataParallel
from dopr.rollout.engine import Engine
from dopr.rollout.torch_engine import TorchEngine
from dopr.runtime.distributed import world_size


def open_engine(sampling: SamplingParams, folder: Path, network: PreTrainedModel) -> Engine:
    """Open the engine of a training run.

    Args:
        sampling: The rollout section of the configuration.
        folder: The model folder that the network was loaded from; vLLM loads its own copy from there, in the dtype of
            the network.
        network: The network, in its final dtype, not sharded yet. The torch engine of a single process samples from it;
            each of several ranks samples from a full copy.
    """
    if sampling.engine == "torch":
        if world_size() == 1:
            return TorchEngine(network, end_tokens(folder))
        return DataParallel(TorchEngine(deepcopy(network), end_tokens(folder), owns_network=True))
    from dopr.rollout.vllm_engine import VllmEngine  # imported here because vLLM is optional

    dtype = str(network.dtype).removeprefix("torch.")
    engine = VllmEngine(folder, dtype, sampling.kv_cache_gb, sampling.enforce_eager, sampling.tensor_parallel)
    return DataParallel(engine, sampling.tensor_parallel) if world_size() > 1 else engine


def open_on_folder(sampling: SamplingParams, attn_implementation: str | None, folder: Path, device: str) -> Engine:
    """Open an engine that samples from model folders, `folder` first, in the dtype in which they are stored."""
    shape = read_shape(folder)  # by default vLLM would sample a float32 model in bfloat16
    dtype = shape.get("dtype") or shape.get("torch_dtype") or "float32"
    if sampling.engine == "torch":
        return TorchEngine.from_folder(folder, dtype, device, attn_implementation)
    from dopr.rollout.vllm_engine import VllmEngine

    return VllmEngine(folder, dtype, sampling.kv_cache_gb, sampling.enforce_eager)
