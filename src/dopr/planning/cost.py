"""Estimates of cost: GPU-hours from a throughput table, disk, and the memory of each GPU.

Each row of the table (resources/throughput.csv) has a source or is marked as an assumption. A model uses the rows of
the nearest size, scaled by the number of parameters, and is interpolated between numbers of sequences on logarithmic
axes. Memory is counted from tensor sizes; the overhead of the engines is not included.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from dopr.config.recipe import Recipe
from dopr.config.schema import SamplingParams
from dopr.errors import UserError, suggestion
from dopr.files import DataError
from dopr.planning.activations import activations
from dopr.planning.shape import Shape
from dopr.planning.work import Lengths, Work, update_rows

TABLE = Path(__file__).parents[3] / "resources" / "throughput.csv"
COLUMNS = ("billions", "gpu", "sequences", "sampling", "training", "source")
BYTES = {"float32": 4, "bfloat16": 2}
TOKEN_BYTES = 2.0  # on disk, of a token of a completion, compressed: an assumption
LEDGER_ROW_BYTES = 30  # on disk: an assumption


@dataclass(frozen=True)
class Throughput:
    """Tokens per second of one model on one GPU.

    Args:
        sequences: Numbers of concurrent sequences, ascending.
        sampling: Tokens per second of sampling, for each number of sequences.
        training: Tokens per second of training.
        sources: The sources of the table rows.
    """

    sequences: tuple[float, ...]
    sampling: tuple[float, ...]
    training: float
    sources: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, gpu: str, parameters: int) -> Throughput:
        """Read the throughput of a GPU for a model with so many parameters from a table.

        Raises:
            UserError: If the table is missing, lacks a column, or does not have the GPU.
        """
        if not path.is_file():
            raise DataError(f"{path}: no such file; give its path")
        frame = pd.read_csv(path)
        missing = [column for column in COLUMNS if column not in frame.columns]
        if missing:
            raise DataError(f"{path}: has no column {missing[0]!r}; it needs {', '.join(COLUMNS)}")
        known = sorted(set(frame["gpu"]))
        if gpu not in known:
            raise UserError(f"--gpu: {path} has no {gpu!r}{suggestion(gpu, known)}")
        rows = frame[frame["gpu"] == gpu].sort_values("sequences")
        size = parameters / 1e9
        nearest = min(set(rows["billions"]), key=lambda billions: abs(np.log(billions / size)))
        rows, scale = rows[rows["billions"] == nearest], nearest / size
        return cls(
            tuple(rows["sequences"].astype(float)),
            tuple(rows["sampling"] * scale),
            float(rows["training"].iloc[-1] * scale),
            tuple(dict.fromkeys(rows["source"])),
        )

    def sampling_at(self, sequences: int) -> float:
        """Return tokens per second with so many concurrent sequences; outside the table, the value at its end."""
        return float(np.exp(np.interp(np.log(sequences), np.log(self.sequences), np.log(self.sampling))))

    def hours(self, work: Work) -> float:
        """Return the GPU-hours of the work of a rule, without prefill of the prompts."""
        sampling = work.completion_tokens / self.sampling_at(max(1, work.concurrent_samples)) if work.rollouts else 0.0
        return (sampling + work.trained_tokens / self.training) / 3600


def disk(works: Sequence[Work], shape: Shape, dtype: str, concurrent_runs: int) -> dict[str, float]:
    """Return the bytes on disk of each kind of file.

    Args:
        works: The work of all rules.
        shape: The sizes of the model.
        dtype: The dtype of the snapshots.
        concurrent_runs: Unfinished runs at a time; only these have checkpoints.
    """
    tokens = sum(work.completion_tokens for work in works if work.rule.startswith("evaluate"))
    rows = sum(work.rollouts for work in works)
    return {
        "checkpoints": 12.0 * shape.parameters * concurrent_runs,  # float32 weights and the two moments of AdamW
        "snapshots": float(sum(work.snapshots for work in works) * shape.parameters * BYTES[dtype]),
        "completions": TOKEN_BYTES * tokens,
        "ledgers": float(LEDGER_ROW_BYTES * rows),
    }


def memory(recipe: Recipe, sampling: SamplingParams, shape: Shape, lengths: Lengths, gpus: int) -> dict[str, float]:
    """Return the bytes on each of `gpus` GPUs that share a run: weights, gradients, optimiser state and rollouts.

    - A bfloat16 network also has float32 master weights and gradients (dopr.training.optimiser), unless they are
      offloaded.
    - With LoRA, only the adapters have gradients, the reference is the network without them, and the sampler gets a
      copy with merged weights.
    - vLLM has its own copy of the weights, or a part of one, and a cache of the configured size. Each of several ranks
      has a full copy to sample from.
    """
    weight, count = BYTES[recipe.dtype], shape.parameters / gpus
    trained = shape.adapter_parameters(recipe.lora) / gpus if recipe.lora else count
    masters = recipe.dtype != "float32" and not recipe.offload_optimizer
    gradient = weight + (4 if masters else 0)
    sequences = recipe.rollouts_per_step / gpus
    rows = update_rows(recipe) / gpus
    vllm = sampling.engine == "vllm"
    copies = 1 / sampling.tensor_parallel if vllm else float(bool(recipe.lora or gpus > 1))
    cache = sequences * (lengths.prompt + lengths.completion) * shape.cache_per_token * weight
    return {
        "weights": (count + trained if recipe.lora else count) * weight,
        "sampler": shape.parameters * weight * copies,
        "reference": count * weight if recipe.loss.kl and not recipe.lora else 0.0,
        "gradients": trained * gradient,
        "optimiser": 0.0 if recipe.offload_optimizer else trained * (12 if masters else 8),
        "activations": activations(recipe, shape, lengths.prompt, lengths.completion, rows, weight),
        "cache": min(cache, (sampling.kv_cache_gb or float("inf")) * 2**30) if vllm else cache,
    }
