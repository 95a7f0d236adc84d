"""Data-parallel generation: each engine generates for a part of the prompts, and all ranks get all samples.

Every engine draws sample j of prompt i with seed + i * n + j, so the samples do not depend on the number of engines.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dopr.rollout.engine import Engine, Sample, Weights
from dopr.runtime.distributed import all_gather, rank, world_size


class DataParallel:
    """The engines of all ranks as one engine. All ranks must call it with equal arguments.

    Args:
        engine: The engine of this rank.
        tensor_parallel_size: The number of consecutive ranks that share one engine.
    """

    def __init__(self, engine: Engine, tensor_parallel_size: int = 1) -> None:
        self.engine, self.tensor_parallel_size = engine, tensor_parallel_size

    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """See Engine."""
        engines = world_size() // self.tensor_parallel_size
        if n > 1 and len(prompts) < engines:  # divide the samples of each prompt between the engines
            repeated = [prompt for prompt in prompts for _ in range(n)]
            samples = self.generate(repeated, 1, temperature, max_new_tokens, seed)
            return [[sample for (sample,) in samples[start : start + n]] for start in range(0, len(samples), n)]
        engine_index = rank() // self.tensor_parallel_size
        start, end = len(prompts) * engine_index // engines, len(prompts) * (engine_index + 1) // engines
        groups: list[list[Sample]] = []
        if start < end:
            groups = self.engine.generate(prompts[start:end], n, temperature, max_new_tokens, seed + start * n)
        return [group for part in all_gather(groups)[:: self.tensor_parallel_size] for group in part]

    def load_weights(self, weights: Weights) -> None:
        """See Engine."""
        self.engine.load_weights(weights)

    def load_folder(self, folder: Path) -> None:
        """See Engine."""
        self.engine.load_folder(folder)

    def sleep(self) -> None:
        """See Engine."""
        self.engine.sleep()
