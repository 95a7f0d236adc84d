"""MoPPS (arXiv 2507.04632): a posterior of each prompt's success rate, and the prompts whose draw is nearest to 1/2.

Each prompt has Beta(a, b), at first (1, 1). For every candidate a success rate is drawn from it (Thompson sampling),
and those nearest to `target` are chosen. A visit with s successes and f failures fades what was known, as policies
change:

    a <- forgetting a + (1 - forgetting) 1 + s        b <- forgetting b + (1 - forgetting) 1 + f

Departures: only visited prompts fade. The default of `forgetting` is ours, and candidates are drawn anew at each step
instead of in epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dopr.selection.parts.drawing import best, check_candidates, draw_candidates, draw_rates, generator
from dopr.selection.parts.volatility import Beta, Prior
from dopr.selection.selector import BaseSelector, GroupResult, Setup


@dataclass
class Selector(BaseSelector):
    """The `count` candidates with a drawn success rate nearest to `target`."""

    setup: Setup
    candidates: Annotated[int, Field(gt=0)] | Literal["all"] = 16
    target: Annotated[float, Field(ge=0, le=1)] = 0.5
    forgetting: Annotated[float, Field(ge=0, le=1)] = 0.5
    places: dict[str, int] = field(init=False, repr=False)
    posterior: Beta = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pool = self.setup.pool
        check_candidates("mopps", self.candidates, self.setup.count, len(pool))
        self.places = {prompt: place for place, prompt in enumerate(pool)}
        self.posterior = Beta(Prior([()] * len(pool), 0.0), self.forgetting)

    def select(self, step: int) -> list[str]:
        """Draw success rates and take the nearest."""
        rng = generator(self.setup.seed, step)
        drawn = draw_candidates(rng, self.candidates, len(self.setup.pool))
        successes, trials = self.posterior.counts(drawn)
        rates = draw_rates(successes, trials - successes, rng)
        return [self.setup.pool[i] for i in best(-np.abs(rates - self.target), drawn, self.setup.count, rng)]

    def observe(self, step: int, group: GroupResult) -> None:
        """Update the posterior."""
        self.posterior.observe(step, self.places[group.prompt], group.rewards)

    def state_dict(self) -> dict[str, Any]:
        """The posterior of the visited prompts."""
        return self.posterior.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict, for a selector that has seen nothing yet."""
        self.posterior.load_state_dict(state)
