"""1-shot RLVR (arXiv 2504.20571): a fixed set, the top prompts by historical variance.

The historical variance of a prompt is the population variance of its accuracies over the visits of the profiling run
(Eq. 1). The order is descending (Eq. 2), and ties stay in file order, as in the authors' code.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

from pydantic import Field

from dopr.selection.parts.fixed_set import FixedSet, top_ranked
from dopr.selection.parts.historical_variance import rank
from dopr.selection.selector import Setup


@dataclass
class Selector(FixedSet):
    """The `top` prompts by historical variance, in a cycle."""

    setup: Setup
    top: Annotated[int, Field(gt=0)] = 1
    chosen: list[str] = field(init=False)
    history_option: ClassVar[str] = ""

    def __post_init__(self) -> None:
        self.chosen = top_ranked("one_shot", [row.prompt for row in rank(self.setup.history)], self.top)
