"""The engine that the configuration names."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from dopr.distributed import size
from dopr.rollout.data_parallel import DataParallel
from dopr.rollout.engine import Engine
from dopr.rollout.torch_engine import TorchEngine

Name = Literal["torch", "vllm"]


def open_engine(
    name: Name, folder: Path, dtype: str, cache_gb: float, device: str = "cpu", tensor_parallel: int = 1
) -> Engine:
    """An engine on a model folder, of all processes that train together. dtype: that vLLM samples in, float32 or
    bfloat16; cache_gb, tensor_parallel: see VllmEngine; device: of the torch engine, vLLM takes its own."""
    if name == "torch" and size() > 1:
        return DataParallel(TorchEngine.from_folder(folder, device, static=True))
    if name == "torch":
        return TorchEngine.from_folder(folder, device)
    from dopr.rollout.vllm_engine import VllmEngine  # only where it is asked for

    engine = VllmEngine(folder, dtype, cache_gb, tensor_parallel)
    return DataParallel(engine, tensor_parallel) if size() > 1 else engine
