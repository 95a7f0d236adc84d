"""The greedy control: of the candidates, the prompts whose last groups had the highest reward variance.

No exploration and no prior. RAGEN-2's reward-variance filter (arXiv 2604.06268) ranks groups by this variance after
they are generated; here the choice is predictive, by the last visit. A prompt not yet visited counts as having the
highest variance a group can have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dopr.selection.parts.drawing import Floats, best, check_candidates, draw_candidates, generator
from dopr.selection.selector import BaseSelector, GroupResult, Setup

HIGHEST = 0.25


@dataclass
class Selector(BaseSelector):
    """The `count` candidates of highest last variance; ties go to the one drawn first."""

    setup: Setup
    candidates: Annotated[int, Field(gt=0)] | Literal["all"] = 16
    places: dict[str, int] = field(init=False, repr=False)
    variance: Floats = field(init=False, repr=False)
    visited: set[int] = field(init=False, repr=False, default_factory=set)

    def __post_init__(self) -> None:
        check_candidates("max_variance", self.candidates, self.setup.count, len(self.setup.pool))
        self.places = {prompt: place for place, prompt in enumerate(self.setup.pool)}
        self.variance = np.full(len(self.setup.pool), HIGHEST)

    def select(self, step: int) -> list[str]:
        """Rank the candidates by the variance of their last group."""
        rng = generator(self.setup.seed, step)
        drawn = draw_candidates(rng, self.candidates, len(self.setup.pool))
        return [self.setup.pool[i] for i in best(self.variance[drawn], drawn, self.setup.count, rng)]

    def observe(self, step: int, group: GroupResult) -> None:
        """Remember the population variance of the group."""
        place = self.places[group.prompt]
        self.visited.add(place)
        self.variance[place] = np.var(group.rewards)

    def state_dict(self) -> dict[str, Any]:
        """The last variance at each visited place."""
        places = sorted(self.visited)
        return {"places": places, "variance": self.variance[places].tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict, for a selector that has seen nothing yet."""
        self.visited = set(state["places"])
        self.variance[state["places"]] = state["variance"]
