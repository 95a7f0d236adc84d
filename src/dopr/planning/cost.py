"""What work costs: GPU-hours from stated throughput, disk, and the memory that one GPU needs.

Throughput is a table (resources/throughput.csv), each row with its source or marked as an assumption. A model takes
the rows of the nearest size, scaled by its parameters; between numbers of sequences it is interpolated on log axes.
Memory is what can be counted: what engines keep for themselves comes on top.
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
TEXT = 2.0  # bytes on disk of a token of a completion, compressed: an assumption
ROW = 30  # and of a ledger's row


@dataclass(frozen=True)
class Throughput:
    """Tokens a second on one GPU, for one model. sampling: by sequences at once, ascending. sources: of the rows."""

    sequences: tuple[float, ...]
    sampling: tuple[float, ...]
    training: float
    sources: tuple[str, ...]

    @classmethod
    def read(cls, path: Path, gpu: str, parameters: int) -> Throughput:
        """From a table, for a GPU and a size.

        Raises:
            UserError: there is no such table, it lacks a column, or does not have the GPU.
        """
        if not path.is_file():
            raise DataError(f"{path}: no such file")
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
        """Tokens a second with some sequences at once; beyond the table as at its ends."""
        return float(np.exp(np.interp(np.log(sequences), np.log(self.sequences), np.log(self.sampling))))

    def hours(self, work: Work) -> float:
        """GPU-hours of a rule's work; reading prompts is left out."""
        sampling = work.completion_tokens / self.sampling_at(max(1, work.at_once)) if work.rollouts else 0.0
        return (sampling + work.trained / self.training) / 3600


def disk(works: Sequence[Work], shape: Shape, dtype: str, at_once: int) -> dict[str, float]:
    """Bytes of each kind of file; checkpoints are those of `at_once` unfinished runs, the others are kept."""
    tokens = sum(work.completion_tokens for work in works if work.rule.startswith("evaluate"))
    rows = sum(work.rollouts for work in works)
    return {
        "checkpoints": 12.0 * shape.parameters * at_once,  # float32 weights, and AdamW's two means
        "snapshots": float(sum(work.snapshots for work in works) * shape.parameters * BYTES[dtype]),
        "completions": TEXT * tokens,
        "ledgers": float(ROW * rows),
    }


def memory(recipe: Recipe, sampling: SamplingParams, shape: Shape, lengths: Lengths, gpus: int) -> dict[str, float]:
    """Bytes on each of `gpus` that share a run: its weights, gradients and optimiser in equal parts, and its rollouts.

    A network in bfloat16 has float32 weights and gradients beside its own (dopr.training.optimiser), unless they are
    offloaded. With adapters only
    theirs are there, the reference is the network itself, and merged weights are made for the sampler. vLLM has a copy
    of its own, or a part of one, and a cache of the size it is given; each of several processes has a whole copy to
    sample from.
    """
    weight, count = BYTES[recipe.dtype], shape.parameters / gpus
    trained = shape.adapters(recipe.lora) / gpus if recipe.lora else count
    masters = recipe.dtype != "float32" and not recipe.offload_optimizer
    own = weight + (4 if masters else 0)
    sequences = recipe.rollouts_per_step / gpus
    rows = update_rows(recipe) / gpus
    vllm = sampling.engine == "vllm"
    copies = 1 / sampling.tensor_parallel if vllm else float(bool(recipe.lora or gpus > 1))
    cache = sequences * (lengths.prompt + lengths.completion) * shape.cache * weight
    return {
        "weights": (count + trained if recipe.lora else count) * weight,
        "sampler": shape.parameters * weight * copies,
        "reference": count * weight if recipe.loss.kl and not recipe.lora else 0.0,
        "gradients": trained * own,
        "optimiser": 0.0 if recipe.offload_optimizer else trained * (12 if masters else 8),
        "activations": activations(recipe, shape, lengths.prompt, lengths.completion, rows, weight),
        "cache": min(cache, (sampling.kv_cache_gb or float("inf")) * 2**30) if vllm else cache,
    }
