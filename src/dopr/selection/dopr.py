"""Dynamic one-shot selection: of a few candidates, the prompt with the highest reward volatility plus exploration.

A reconstruction. Of the DoPR paper (arXiv 2602.00815) only the abstract is public to us: each batch, one informative
sample is chosen by reward volatility and an exploration-driven acquisition. The formulas below are ours; each term is
an option. For prompt i with n_i visits in this run, at step t:

    volatility   V_i = sqrt(p_i (1 - p_i)), the standard deviation of its rewards, where p_i is the mean of the
                 rewards of its last `window` visits, joined by `prior_rollouts` pseudo-rewards at its mean accuracy
                 during profiling; with neither, V_i = 1/2, the largest possible. Other estimates: parts/volatility.py;
                 with `similarity`, one that similar prompts share takes its place: parts/similarity.py
    exploration  ucb: E_i = exploration * sqrt(ln(t + 1) / (n_i + 1)), times the entropy factor if `entropy` is given
                 (parts/entropy.py); epsilon: with that probability a random choice; thompson: V_i at a p_i drawn from
                 its posterior; none
    score        V_i + E_i; the highest wins, ties go to the candidate drawn first. With a `temperature` T > 0 prompts
                 are drawn, without replacement, in proportion to exp(score / T)

The choice is predictive: it is made from history, before any rollout, so that it saves rollouts and not only updates.
With `screening` k > 0 it is made after k rollouts of every candidate, and the next step completes the groups of the
chosen: that saves mostly updates. Steps that screen and steps that complete alternate; `pipelined`, each does both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dopr.selection.parts.drawing import Floats, OptionError, Places, best, check_candidates, draw_candidates, generator
from dopr.selection.parts.entropy import EntropyScale
from dopr.selection.parts.similarity import SharedVolatility
from dopr.selection.parts.volatility import (
    Beta,
    ConstantVolatility,
    History,
    MovingAverage,
    Prior,
    VolatilityEstimate,
    Window,
)
from dopr.selection.selector import BaseSelector, GroupDecision, GroupResult, RolloutRequest, Setup


@dataclass
class Selector(BaseSelector):
    """The `count` best of `candidates` random prompts, or of `all`."""

    setup: Setup
    candidates: Annotated[int, Field(gt=0)] | Literal["all"] = 16
    exploration: Annotated[float, Field(ge=0)] = 0.5
    window: Annotated[int, Field(gt=0)] = 2
    prior_rollouts: Annotated[float, Field(ge=0)] = 8.0
    volatility: Literal["window", "ema", "history", "beta", "none"] = "window"
    rate: Annotated[float, Field(gt=0, le=1)] = 0.3
    forgetting: Annotated[float, Field(gt=0, le=1)] = 1.0
    similarity: Literal["none", "text", "hidden", "label"] = "none"
    bandwidth: Annotated[float, Field(gt=0)] = 0.1
    explore: Literal["ucb", "epsilon", "thompson", "none"] = "ucb"
    entropy: tuple[float, float] | None = None
    temperature: Annotated[float, Field(ge=0)] = 0.0
    screening: Annotated[int, Field(ge=0)] = 0
    pipelined: bool = False
    places: dict[str, int] = field(init=False, repr=False)
    estimate: VolatilityEstimate | SharedVolatility = field(init=False, repr=False)
    scale: EntropyScale | None = field(init=False)
    chosen: dict[str, float] = field(init=False)
    history_option: ClassVar[str] = "prior_rollouts"

    def __post_init__(self) -> None:
        pool = self.setup.pool
        check_candidates("dopr", self.candidates, self.setup.count, len(pool))
        if self.screening >= self.setup.group_size:
            raise OptionError(
                f"dopr: screening {self.screening} leaves nothing of a group of {self.setup.group_size} to complete"
            )
        if self.explore == "epsilon" and self.exploration > 1:
            raise OptionError(f"dopr: exploration {self.exploration} is no probability, as explore: epsilon needs it")
        if self.explore == "thompson" and self.similarity == "none" and self.volatility not in ("window", "beta"):
            raise OptionError(f"dopr: explore thompson needs volatility window or beta, not {self.volatility}")
        self.places = {prompt: place for place, prompt in enumerate(pool)}
        self.estimate = self._make_estimate()
        self.scale = EntropyScale(self.entropy) if self.entropy else None
        self.chosen = {"volatility": math.nan, "exploration": math.nan}

    def _make_estimate(self) -> VolatilityEstimate | SharedVolatility:
        known = self.setup.history if self.prior_rollouts else {}
        histories = [known.get(prompt, ()) for prompt in self.setup.pool] if known else [()] * len(self.setup.pool)
        if self.similarity != "none":
            vectors = self.setup.features(self.similarity)
            prior = Prior(histories, self.prior_rollouts)
            return SharedVolatility(prior, vectors, self.bandwidth, self.forgetting, self.setup.group_size)
        if self.volatility == "none":
            return ConstantVolatility(len(self.setup.pool))
        if self.volatility == "window":
            return Window(Prior(histories, self.prior_rollouts), self.window)
        if self.volatility == "beta":
            return Beta(Prior(histories, self.prior_rollouts), self.forgetting)
        return MovingAverage(histories, self.rate) if self.volatility == "ema" else History(histories)

    def select(self, step: int) -> list[str]:
        """Score the candidates and take the best."""
        rng = generator(self.setup.seed, step)
        drawn = draw_candidates(rng, self.candidates, len(self.setup.pool))
        return [self.setup.pool[place] for place in self.choose(step, drawn, rng)]

    def choose(self, step: int, places: Places, rng: np.random.Generator) -> NDArray[np.int64]:
        """The places of the `count` winners among those at `places`."""
        scores = self.scores(step, places, rng)
        if self.explore == "epsilon" and rng.random() < self.exploration:
            scores = np.zeros(len(scores))
        if self.temperature:
            scores = scores / self.temperature + rng.gumbel(size=len(scores))
        winners = best(scores, places, self.setup.count, rng)
        volatility, bonus = self.estimate.volatility(winners, step), self.bonus(step, winners)
        self.chosen = {"volatility": float(np.mean(volatility)), "exploration": float(np.mean(bonus))}
        return winners

    def scores(self, step: int, places: Places, rng: np.random.Generator) -> Floats:
        """Volatility plus exploration of the prompts at `places`."""
        if self.explore == "thompson":
            return self.estimate.drawn(places, step, rng)
        volatility = self.estimate.volatility(places, step)
        return volatility + self.bonus(step, places) if self.explore == "ucb" else volatility

    def bonus(self, step: int, places: Places) -> Floats:
        """Upper-confidence bonus of prompts visited seldom; 0 under any other exploration."""
        strength = self.exploration * (self.scale.factor if self.scale else 1.0) if self.explore == "ucb" else 0.0
        bonus: Floats = strength * np.sqrt(math.log(step + 1) / (self.estimate.seen(places, step) + 1))
        return bonus

    def request(self, step: int, held: Sequence[GroupResult]) -> list[RolloutRequest]:
        """Whole groups; when screening, the rest of the held ones, or some rollouts of each candidate, or both."""
        if not self.screening:
            return super().request(step, held)
        missing = self.setup.group_size - self.screening
        rest = [RolloutRequest(group.prompt, missing, group) for group in held]
        if rest and not self.pipelined:
            return rest
        drawn = draw_candidates(generator(self.setup.seed, step), self.candidates, len(self.setup.pool))
        places = range(len(self.setup.pool)) if isinstance(drawn, slice) else drawn
        return rest + [RolloutRequest(self.setup.pool[place], self.screening) for place in places]

    def decide(self, step: int, groups: Sequence[GroupResult]) -> GroupDecision:
        """Whole groups are trained on; of screened ones the best are held, and the others discarded."""
        whole = tuple(group for group in groups if len(group.rewards) >= self.setup.group_size)
        screened = [group for group in groups if group not in whole]
        if not screened:
            return GroupDecision(whole)
        places = np.array([self.places[group.prompt] for group in screened])
        winners = self.choose(step, places, generator(self.setup.seed, step, 1)).tolist()
        return GroupDecision(whole, tuple(group for group in screened if self.places[group.prompt] in winners))

    def observe(self, step: int, group: GroupResult) -> None:
        """Count the visit and learn from its rewards."""
        self.estimate.observe(step, self.places[group.prompt], group.rewards)
        if self.scale:
            self.scale.observe(group.entropy)

    def state_dict(self) -> dict[str, Any]:
        """What the visits so far taught."""
        return {"estimate": self.estimate.state_dict(), "entropy": self.scale.state_dict() if self.scale else {}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict, for a selector that has seen nothing yet."""
        self.estimate.load_state_dict(state["estimate"])
        if self.scale:
            self.scale.load_state_dict(state["entropy"])

    def metrics(self) -> dict[str, float]:
        """Mean volatility and exploration of the chosen prompts."""
        return self.chosen
