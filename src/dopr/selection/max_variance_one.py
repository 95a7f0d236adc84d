"""The greedy control: of a few candidates, the prompt whose last group had the highest reward variance.

No exploration and no prior (the k = 1 case of RAGEN-2's reward-variance filter, arXiv 2604.06268, made predictive).
A prompt not yet visited counts as having the highest variance a group can have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any

import numpy as np
from pydantic import Field

from dopr.selection.selector import Outcome, Predictive, Setup

HIGHEST = 0.25


@dataclass
class Selector(Predictive):
    """The `count` candidates of highest last variance; ties go to the one drawn first."""

    setup: Setup
    candidates: Annotated[int, Field(gt=0)] = 16
    variance: dict[str, float] = field(init=False, default_factory=dict)

    def select(self, step: int) -> list[str]:
        """Rank random candidates by the variance of their last group."""
        rng = np.random.default_rng([self.setup.seed, step])
        picks = rng.choice(len(self.setup.pool), size=min(self.candidates, len(self.setup.pool)), replace=False)
        drawn = [self.setup.pool[i] for i in picks]
        return sorted(drawn, key=lambda prompt: -self.variance.get(prompt, HIGHEST))[: self.setup.count]

    def observe(self, step: int, outcome: Outcome) -> None:
        """Remember the population variance of the group."""
        self.variance[outcome.prompt] = float(np.var(outcome.rewards))

    def state_dict(self) -> dict[str, Any]:
        """The last variance of each visited prompt."""
        return {"variance": dict(self.variance)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        self.variance = dict(state["variance"])
