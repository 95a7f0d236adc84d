"""MoPPS (arXiv 2507.04632): a Beta posterior of each prompt's success rate; the draws nearest to 1/2 are chosen.

Each prompt has a posterior Beta(a, b), which starts at Beta(1, 1). A success rate is drawn from the posterior of every
candidate (Thompson sampling), and the prompts whose draws are nearest to `target` are chosen. A visit with s successes
and f failures also discounts earlier visits, because the policy changes:

    a <- forgetting a + (1 - forgetting) 1 + s        b <- forgetting b + (1 - forgetting) 1 + f

Departures: only the posteriors of visited prompts are discounted; the default of `forgetting` is ours; candidates are
drawn independently at each step, not in epochs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field

from dopr.selection.parts.drawing import (
    check_candidates,
    draw_candidates,
    draw_success_rates,
    generator,
    top_scoring,
)
from dopr.selection.parts.volatility import Beta, Prior
from dopr.selection.selector import BaseSelector, GroupResult, Setup


@dataclass
class Selector(BaseSelector):
    """The `count` candidates whose drawn success rates are nearest to `target`."""

    setup: Setup
    candidates: Annotated[int, Field(gt=0)] | Literal["all"] = 16
    target: Annotated[float, Field(ge=0, le=1)] = 0.5
    forgetting: Annotated[float, Field(ge=0, le=1)] = 0.5
    index_of: dict[str, int] = field(init=False, repr=False)
    posterior: Beta = field(init=False, repr=False)

    def __post_init__(self) -> None:
        pool = self.setup.pool
        check_candidates("mopps", self.candidates, self.setup.count, len(pool))
        self.index_of = {prompt: index for index, prompt in enumerate(pool)}
        self.posterior = Beta(Prior([()] * len(pool), 0.0), self.forgetting)

    def select(self, step: int) -> list[str]:
        """Draw a success rate for each candidate and return the nearest to the target."""
        rng = generator(self.setup.seed, step)
        candidates = draw_candidates(rng, self.candidates, len(self.setup.pool))
        successes, trials = self.posterior.counts(candidates)
        rates = draw_success_rates(successes, trials - successes, rng)
        chosen = top_scoring(-np.abs(rates - self.target), candidates, self.setup.count, rng)
        return [self.setup.pool[index] for index in chosen]

    def observe(self, step: int, group: GroupResult) -> None:
        """Update the posterior of the prompt."""
        self.posterior.observe(step, self.index_of[group.prompt], group.rewards)

    def state_dict(self) -> dict[str, Any]:
        """Return the posteriors of the visited prompts."""
        return self.posterior.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned, into a new selector."""
        self.posterior.load_state_dict(state)
