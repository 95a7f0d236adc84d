"""1-shot RLVR (arXiv 2504.20571): a fixed set, the top prompts by historical variance.

The variance is the population variance of each prompt's accuracy per visit of the profiling run (Eq. 1), the order is
descending and stable in file order (Eq. 2, and the authors' code).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from dopr.historical_variance import rank
from dopr.selection.selector import Memoryless, Setup


@dataclass
class Selector(Memoryless):
    """The `top` highest-ranked prompts in turn; with fewer prompts than a step takes, they repeat as copies."""

    setup: Setup
    top: Annotated[int, Field(gt=0)] = 1
    chosen: list[str] = field(init=False)
    history_option: ClassVar[str] = ""

    def __post_init__(self) -> None:
        self.chosen = [row.prompt for row in rank(self.setup.history)][: self.top]
        if len(self.chosen) < self.top:
            raise ValueError(f"one_shot: top {self.top} asked for, but only {len(self.chosen)} prompts have a history")

    def select(self, step: int) -> list[str]:
        """Positions step * count onwards of the endlessly repeated set."""
        start = step * self.setup.count
        return [self.chosen[(start + i) % self.top] for i in range(self.setup.count)]
