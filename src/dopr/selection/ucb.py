"""UCB1 (Auer, Cesa-Bianchi and Fischer 2002) with a group's reward variance as what an arm pays.

For prompt i with n_i visits in n visits of all, prompts never visited come first, then

    index_i = 4 * mean variance of its groups + exploration * sqrt(2 ln n / n_i)

The factor 4 brings variances of 0/1 rewards to 0..1, as UCB1 has it; `exploration` 1 is UCB1. Departure: only the
candidates of a step compete. With a pool larger than the number of steps every choice is a prompt never visited.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dopr.selection.parts.drawing import Floats, Places, best, check_candidates, draw_candidates, generator
from dopr.selection.selector import BaseSelector, GroupResult, Setup


@dataclass
class Selector(BaseSelector):
    """The `count` candidates of the highest index."""

    setup: Setup
    candidates: Annotated[int, Field(gt=0)] | Literal["all"] = 16
    exploration: Annotated[float, Field(ge=0)] = 1.0
    places: dict[str, int] = field(init=False, repr=False)
    visits: Floats = field(init=False, repr=False)
    paid: Floats = field(init=False, repr=False)
    total: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        pool = self.setup.pool
        check_candidates("ucb", self.candidates, self.setup.count, len(pool))
        self.places = {prompt: place for place, prompt in enumerate(pool)}
        self.visits, self.paid = np.zeros(len(pool)), np.zeros(len(pool))

    def select(self, step: int) -> list[str]:
        """Rank the candidates by their index."""
        rng = generator(self.setup.seed, step)
        drawn = draw_candidates(rng, self.candidates, len(self.setup.pool))
        return [self.setup.pool[i] for i in best(self.index(drawn), drawn, self.setup.count, rng)]

    def index(self, places: Places) -> Floats:
        """UCB1's index of the prompts at `places`; infinite where never visited."""
        visits = self.visits[places]
        width = self.exploration * math.sqrt(2 * math.log(max(1.0, self.total)))
        known = np.maximum(visits, 1.0)
        return np.where(visits > 0, 4 * self.paid[places] / known + width / np.sqrt(known), np.inf)

    def observe(self, step: int, group: GroupResult) -> None:
        """Count the visit and its variance."""
        place = self.places[group.prompt]
        self.total += 1
        self.visits[place] += 1
        self.paid[place] += np.var(group.rewards)

    def state_dict(self) -> dict[str, Any]:
        """Visits and summed variances at the visited places."""
        places = np.flatnonzero(self.visits)
        return {"places": places.tolist(), "visits": self.visits[places].tolist(), "paid": self.paid[places].tolist()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict, for a selector that has seen nothing yet."""
        self.visits[state["places"]], self.paid[state["places"]] = state["visits"], state["paid"]
        self.total = float(sum(state["visits"]))
