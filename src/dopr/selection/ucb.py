"""UCB1 (Auer, Cesa-Bianchi and Fischer 2002): each prompt is an arm, and its payoff is the reward variance of a group.

For prompt i with n_i visits, of n visits in total:

    ucb_i = 4 * (mean variance of its groups) + exploration * sqrt(2 ln n / n_i), or infinity if n_i = 0

The factor 4 scales variances of 0/1 rewards to [0, 1], as UCB1 assumes, and `exploration` 1 gives UCB1.

Departure: only the candidates of a step compete. If the pool is larger than the number of steps, almost every choice is
a prompt that was not visited yet.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dopr.selection.parts.drawing import Floats, Indices, check_candidates, draw_candidates, generator, top_scoring
from dopr.selection.selector import BaseSelector, GroupResult, Setup


@dataclass
class Selector(BaseSelector):
    """The `count` candidates with the highest upper confidence bounds."""

    setup: Setup
    candidates: Annotated[int, Field(gt=0)] | Literal["all"] = 16
    exploration: Annotated[float, Field(ge=0)] = 1.0
    index_of: dict[str, int] = field(init=False, repr=False)
    visits: Floats = field(init=False, repr=False)
    payoffs: Floats = field(init=False, repr=False)
    total_visits: float = field(init=False, default=0.0)

    def __post_init__(self) -> None:
        pool = self.setup.pool
        check_candidates("ucb", self.candidates, self.setup.count, len(pool))
        self.index_of = {prompt: index for index, prompt in enumerate(pool)}
        self.visits, self.payoffs = np.zeros(len(pool)), np.zeros(len(pool))

    def select(self, step: int) -> list[str]:
        """Return the candidates with the highest bounds."""
        rng = generator(self.setup.seed, step)
        candidates = draw_candidates(rng, self.candidates, len(self.setup.pool))
        chosen = top_scoring(self.upper_bounds(candidates), candidates, self.setup.count, rng)
        return [self.setup.pool[index] for index in chosen]

    def upper_bounds(self, indices: Indices) -> Floats:
        """Return the upper confidence bounds of some prompts; infinity for those not visited."""
        visits = self.visits[indices]
        width = self.exploration * math.sqrt(2 * math.log(max(1.0, self.total_visits)))
        divisors = np.maximum(visits, 1.0)  # the values of prompts not visited are not used
        return np.where(visits > 0, 4 * self.payoffs[indices] / divisors + width / np.sqrt(divisors), np.inf)

    def observe(self, step: int, group: GroupResult) -> None:
        """Count the visit and add the variance of the rewards."""
        index = self.index_of[group.prompt]
        self.total_visits += 1
        self.visits[index] += 1
        self.payoffs[index] += np.var(group.rewards)

    def state_dict(self) -> dict[str, Any]:
        """Return the visits and the summed variances of the visited prompts."""
        indices = np.flatnonzero(self.visits)
        visits, payoffs = self.visits[indices].tolist(), self.payoffs[indices].tolist()
        return {"indices": indices.tolist(), "visits": visits, "payoffs": payoffs}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned, into a new selector."""
        self.visits[state["indices"]], self.payoffs[state["indices"]] = state["visits"], state["payoffs"]
        self.total_visits = float(sum(state["visits"]))
