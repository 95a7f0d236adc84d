"""The greedy control: of the candidates, the prompts whose last group had the highest reward variance.

There is no exploration and no prior. The reward-variance filter of RAGEN-2 (arXiv 2604.06268) ranks groups by this
variance after they are generated; here the variance of the last visit decides before generation. A prompt that was not
visited yet is given the maximum variance.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dopr.selection.parts.drawing import Floats, check_candidates, draw_candidates, generator, top_scoring
from dopr.selection.selector import BaseSelector, GroupResult, Setup

MAX_VARIANCE = 0.25  # of 0/1 rewards


@dataclass
class Selector(BaseSelector):
    """The `count` candidates with the highest variance in their last group; ties go to the candidate drawn first."""

    setup: Setup
    candidates: Annotated[int, Field(gt=0)] | Literal["all"] = 16
    index_of: dict[str, int] = field(init=False, repr=False)
    variance: Floats = field(init=False, repr=False)
    visited: set[int] = field(init=False, repr=False, default_factory=set)

    def __post_init__(self) -> None:
        check_candidates("max_variance", self.candidates, self.setup.count, len(self.setup.pool))
        self.index_of = {prompt: index for index, prompt in enumerate(self.setup.pool)}
        self.variance = np.full(len(self.setup.pool), MAX_VARIANCE)

    def select(self, step: int) -> list[str]:
        """Return the candidates with the highest variance."""
        rng = generator(self.setup.seed, step)
        candidates = draw_candidates(rng, self.candidates, len(self.setup.pool))
        chosen = top_scoring(self.variance[candidates], candidates, self.setup.count, rng)
        return [self.setup.pool[index] for index in chosen]

    def observe(self, step: int, group: GroupResult) -> None:
        """Store the population variance of the rewards."""
        index = self.index_of[group.prompt]
        self.visited.add(index)
        self.variance[index] = np.var(group.rewards)

    def state_dict(self) -> dict[str, Any]:
        """Return the last variance of each visited prompt."""
        indices = sorted(self.visited)
        return {"indices": indices, "variance": self.variance[indices].tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned, into a new selector."""
        self.visited = set(state["indices"])
        self.variance[state["indices"]] = state["variance"]
