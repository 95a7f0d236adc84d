"""Dynamic one-shot selection: of a few candidates, the prompt with the highest reward volatility plus exploration.

A reconstruction. Of the DoPR paper (arXiv 2602.00815) only the abstract is public to us: each batch, one informative
sample is chosen by reward volatility and an exploration-driven acquisition. The formulas below are ours; each term is
an option. For prompt i with n_i visits in this run, at step t:

    volatility   V_i = sqrt(p_i (1 - p_i)), the standard deviation of its rewards, where p_i is the mean of the
                 rewards of its last `window` visits, joined by `prior_rollouts` pseudo-rewards at its mean accuracy
                 during profiling; with neither, V_i = 1/2, the largest possible
    exploration  E_i = exploration * sqrt(ln(t + 1) / (n_i + 1))
    score        V_i + E_i; the highest wins, ties go to the candidate drawn first

The choice is predictive: it is made from history, before any rollout, so that it saves rollouts and not only updates.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar

import numpy as np
from pydantic import Field

from dopr.selection.selector import Outcome, Predictive, Setup


@dataclass
class Selector(Predictive):
    """The `count` best of `candidates` random prompts."""

    setup: Setup
    candidates: Annotated[int, Field(gt=0)] = 16
    exploration: Annotated[float, Field(ge=0)] = 0.5
    window: Annotated[int, Field(gt=0)] = 2
    prior_rollouts: Annotated[float, Field(ge=0)] = 8.0
    visits: dict[str, int] = field(init=False, default_factory=dict)
    recent: dict[str, list[list[float]]] = field(init=False, default_factory=dict)
    chosen: dict[str, float] = field(init=False, default_factory=dict)
    history_option: ClassVar[str] = "prior_rollouts"

    def select(self, step: int) -> list[str]:
        """Score random candidates and take the best."""
        rng = np.random.default_rng([self.setup.seed, step])
        picks = rng.choice(len(self.setup.pool), size=min(self.candidates, len(self.setup.pool)), replace=False)
        drawn = [self.setup.pool[i] for i in picks]
        best = sorted(drawn, key=lambda prompt: -self.score(prompt, step))[: self.setup.count]
        self.chosen = {
            "volatility": sum(map(self.volatility, best)) / len(best),
            "exploration": sum(self.bonus(prompt, step) for prompt in best) / len(best),
        }
        return best

    def score(self, prompt: str, step: int) -> float:
        """Volatility plus exploration."""
        return self.volatility(prompt) + self.bonus(prompt, step)

    def volatility(self, prompt: str) -> float:
        """Standard deviation of the recent rewards, with the profile's as a prior."""
        rewards = [reward for visit in self.recent.get(prompt, []) for reward in visit]
        history = self.setup.history.get(prompt, ())
        weight = self.prior_rollouts if history else 0.0
        if weight + len(rewards) == 0:
            return 0.5
        prior = sum(history) / len(history) if history else 0.0
        mean = (weight * prior + sum(rewards)) / (weight + len(rewards))
        return math.sqrt(max(0.0, mean * (1.0 - mean)))

    def bonus(self, prompt: str, step: int) -> float:
        """Upper-confidence bonus of a prompt visited seldom."""
        return self.exploration * math.sqrt(math.log(step + 1) / (self.visits.get(prompt, 0) + 1))

    def observe(self, step: int, outcome: Outcome) -> None:
        """Count the visit and keep its rewards in the window."""
        prompt = outcome.prompt
        self.visits[prompt] = self.visits.get(prompt, 0) + 1
        self.recent[prompt] = [*self.recent.get(prompt, []), list(outcome.rewards)][-self.window :]

    def state_dict(self) -> dict[str, Any]:
        """Visits and recent rewards."""
        return {"visits": dict(self.visits), "recent": dict(self.recent)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        self.visits, self.recent = dict(state["visits"]), dict(state["recent"])

    def metrics(self) -> dict[str, float]:
        """Mean volatility and exploration of the chosen prompts."""
        return self.chosen
