"""Rollouts by several processes: each samples for some of the prompts, or some samples of one, and all get all.

Sample j of prompt i is drawn with seed + i n + j by every engine, so what is drawn does not depend on how many
processes there are.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from dopr.rollout.engine import Engine, Sample, Weights
from dopr.runtime.distributed import all_gather, rank, world_size


class DataParallel:
    """An engine of each process, or of each `together` neighbouring ones, as one; all must call it alike."""

    def __init__(self, engine: Engine, together: int = 1) -> None:
        self.engine, self.together = engine, together

    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """See Engine."""
        engines = world_size() // self.together
        if n > 1 and len(prompts) < engines:
            alone = [prompt for prompt in prompts for _ in range(n)]
            samples = self.generate(alone, 1, temperature, max_new_tokens, seed)
            return [[sample for (sample,) in samples[start : start + n]] for start in range(0, len(samples), n)]
        place = rank() // self.together
        start, end = len(prompts) * place // engines, len(prompts) * (place + 1) // engines
        mine: list[list[Sample]] = []
        if start < end:
            mine = self.engine.generate(prompts[start:end], n, temperature, max_new_tokens, seed + start * n)
        return [group for part in all_gather(mine)[:: self.together] for group in part]

    def load_weights(self, weights: Weights) -> None:
        """See Engine."""
        self.engine.load_weights(weights)

    def load_folder(self, folder: Path) -> None:
        """See Engine."""
        self.engine.load_folder(folder)

    def sleep(self) -> None:
        """See Engine."""
        self.engine.sleep()
