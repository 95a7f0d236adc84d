"""The least time that sampling and training could take on a machine, from its memory bandwidth and its products' speed.

Both are measured, by copying memory and by multiplying large matrices. Counted are the weights and the cache that each
step must read, and the multiplications that no implementation can leave out; whichever of the two takes longer bounds
the time. A model that fits a processor's cache can be faster than its memory allows.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch

from dopr.planning.shape import Shape
from dopr.products import product

COPIED = {"cpu": 2**28, "cuda": 2**32}  # bytes
SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices
OPTIMISER = 28  # bytes a parameter, in float32: AdamW reads weight, gradient and two means, and writes all but one
BEST_OF = 5


@dataclass(frozen=True)
class Machine:
    """bandwidth: bytes a second, read and written. peak: operations a second in the type asked for."""

    bandwidth: float
    peak: float

    @classmethod
    def measured(cls, device: str, dtype: torch.dtype) -> Machine:
        """The best of some trials."""
        source = torch.ones(COPIED[device], dtype=torch.uint8, device=device)
        target, side = torch.empty_like(source), SIDE[device]
        matrix = torch.ones(side, side, dtype=dtype, device=device)
        with torch.inference_mode():
            copying = min(seconds(lambda: target.copy_(source), device) for _ in range(BEST_OF))
            multiplying = min(seconds(lambda: product(matrix, matrix), device) for _ in range(BEST_OF))
        return cls(2 * COPIED[device] / copying, 2 * side**3 / multiplying)


@dataclass(frozen=True)
class Cost:
    """What must be moved and computed: bytes and operations."""

    moved: float
    operations: float

    def bounds(self, machine: Machine) -> tuple[float, float]:
        """Seconds by bandwidth, and seconds by arithmetic."""
        return self.moved / machine.bandwidth, self.operations / machine.peak

    def least(self, machine: Machine) -> float:
        """Seconds that it takes at least."""
        return max(self.bounds(machine))


@dataclass(frozen=True)
class Load:
    """Completions of `new` tokens each: `samples` for each of `prompts` prompts of `prompt` tokens."""

    prompts: int
    samples: int
    prompt: int
    new: int

    @property
    def rows(self) -> int:
        """Completions."""
        return self.prompts * self.samples


def decoding(config: Mapping[str, Any], load: Load, size: int) -> Cost:
    """All new tokens but the first, which reading the prompts gives; size: bytes of a number."""
    shape, steps = Shape.of(config), load.new - 1
    seen = load.rows * steps * (load.prompt + load.new / 2)  # tokens attended to, one by one
    moved = steps * weights(config) * size + seen * shape.cache * size
    return Cost(moved, 2 * load.rows * steps * weights(config) + attention(config) * seen)


def training(config: Mapping[str, Any], load: Load, size: int) -> Cost:
    """Forward, twice that backward, and AdamW; each prompt is read once, and logits are those of new tokens."""
    shape = Shape.of(config)
    head = config["vocab_size"] * config["hidden_size"]
    read = load.prompts * load.prompt + load.rows * load.new
    seen = load.prompts * load.prompt**2 / 2 + load.rows * load.new * (load.prompt + load.new / 2)
    forward = 2 * read * (weights(config) - head) + 2 * load.rows * load.new * head + attention(config) * seen
    return Cost((3 * size + OPTIMISER) * shape.parameters, 3 * forward)


def weights(config: Mapping[str, Any]) -> int:
    """Parameters that every token is multiplied by: all but an embedding that is not the output head as well."""
    embedding = config["vocab_size"] * config["hidden_size"]
    return Shape.of(config).parameters - (0 if config.get("tie_word_embeddings", False) else embedding)


def attention(config: Mapping[str, Any]) -> int:
    """Operations for each token and each one it attends to: scores, and the mixture of values."""
    heads = config["num_attention_heads"]
    head = config.get("head_dim") or config["hidden_size"] // heads
    return int(4 * config["num_hidden_layers"] * heads * head)


def seconds(call: Callable[[], object], device: str) -> float:
    """What a call takes: of a processor its own time, so that other work does not count; of a GPU until it is done."""
    if device == "cpu":
        start = time.process_time()
        call()
        return time.process_time() - start
    torch.cuda.synchronize()
    start = time.perf_counter()
    call()
    torch.cuda.synchronize()
    return time.perf_counter() - start
