"""1-shot RLVR (arXiv 2504.20571): a fixed set, the top prompts by historical variance.

The variance is the population variance of each prompt's accuracy per visit of the profiling run (Eq. 1), the order is
descending and stable in file order (Eq. 2, and the authors' code).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from dopr.selection.parts.fixed_set import FixedSet, highest
from dopr.selection.parts.historical_variance import rank
from dopr.selection.selector import Setup


@dataclass
class Selector(FixedSet):
    """The `top` highest-ranked prompts in turn."""

    setup: Setup
    top: Annotated[int, Field(gt=0)] = 1
    chosen: list[str] = field(init=False)
    history_option: ClassVar[str] = ""

    def __post_init__(self) -> None:
        self.chosen = highest("one_shot", [row.prompt for row in rank(self.setup.history)], self.top)
