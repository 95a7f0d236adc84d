"""Dynamic one-shot selection: of a few random candidates, the prompt with the highest volatility plus exploration.

This is a reconstruction. Only the abstract of the DoPR paper (arXiv 2602.00815) was available: for each batch, one
informative sample is chosen by its reward volatility and an exploration-driven acquisition. The formulas below are
ours, and each term is an option. For prompt i with n_i visits in this run, at step t:

    score_i = V_i + E_i, the highest score wins

    V_i, volatility   sqrt(p_i (1 - p_i)), the standard deviation of its 0/1 rewards. p_i is the mean of the rewards of
                      its last `window` visits and of `prior_rollouts` pseudo-rewards, which have its mean accuracy in
                      the profiling run. With neither, V_i = 1/2, the maximum. `volatility` selects another estimate
                      (parts/volatility.py), and `similarity` one that similar prompts share (parts/similarity.py).
                      With a `cap`, V_i = min(V_i, cap): prompts that are volatile enough tie, and exploration decides
                      between them, so that the choice does not narrow to the most volatile kind
    E_i, exploration  ucb: exploration * sqrt(ln(t + 1) / (n_i + 1)), multiplied by the entropy factor if `entropy` is
                      given (parts/entropy.py)
                      epsilon: E_i = 0, and with probability `exploration` the choice is random
                      thompson: E_i = 0, and V_i uses a p_i drawn from its posterior
                      none: E_i = 0

Ties go to the candidate drawn first. With a `temperature` T > 0, prompts are drawn without replacement, with
probability proportional to exp(score / T).

The choice uses past rewards alone and is made before any rollout, so it saves rollouts. With `screening` k > 0 it is
made after k rollouts of each candidate, and the next step completes the groups of the chosen prompts; that saves mainly
updates. Steps that screen and steps that complete alternate; with `pipelined`, every step does both.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from dopr.selection.parts.drawing import (
    Floats,
    Indices,
    OptionError,
    check_candidates,
    draw_candidates,
    generator,
    top_scoring,
)
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
    """The `count` highest scores of `candidates` random prompts, or of the whole pool.

    Args:
        setup: What the selector may use.
        candidates: How many prompts to draw as candidates; `all` for the whole pool.
        exploration: Strength of `ucb`, or probability of `epsilon`.
        window: Visits that the `window` estimate looks back on.
        prior_rollouts: Pseudo-rewards at the mean accuracy in the profiling run; 0 ignores that run.
        volatility: The estimate of volatility.
        rate: Weight of the newest visit in `ema`.
        forgetting: Weight that earlier visits keep at each visit (`beta`) or at each step (`similarity`).
        similarity: Features whose similarity decides how far prompts share their volatility.
        bandwidth: Bandwidth of the kernel of `similarity`.
        cap: The volatility above which all prompts count alike; 1 is no cap.
        explore: The kind of exploration.
        entropy: Lower and upper limit of the entropy factor of `ucb`.
        temperature: Temperature of the choice; 0 takes the highest scores.
        screening: Rollouts of each candidate before the choice; 0 chooses from past rewards.
        pipelined: Whether a step that screens also completes the groups of the step before.

    Raises:
        OptionError: If options contradict each other or the pool.
    """

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
    cap: Annotated[float, Field(gt=0, le=1)] = 1.0
    explore: Literal["ucb", "epsilon", "thompson", "none"] = "ucb"
    entropy: tuple[float, float] | None = None
    temperature: Annotated[float, Field(ge=0)] = 0.0
    screening: Annotated[int, Field(ge=0)] = 0
    pipelined: bool = False
    index_of: dict[str, int] = field(init=False, repr=False)
    estimate: VolatilityEstimate | SharedVolatility = field(init=False, repr=False)
    entropy_scale: EntropyScale | None = field(init=False)
    last_choice: dict[str, float] = field(init=False)
    history_option: ClassVar[str] = "prior_rollouts"

    def __post_init__(self) -> None:
        self._check_options()
        self.index_of = {prompt: index for index, prompt in enumerate(self.setup.pool)}
        self.estimate = self._make_estimate()
        self.entropy_scale = EntropyScale(self.entropy) if self.entropy else None
        self.last_choice = {"volatility": math.nan, "exploration": math.nan}

    def _check_options(self) -> None:
        check_candidates("dopr", self.candidates, self.setup.count, len(self.setup.pool))
        if self.screening >= self.setup.group_size:
            raise OptionError(
                f"dopr: screening {self.screening} leaves nothing of a group of {self.setup.group_size} to complete"
            )
        if self.explore == "epsilon" and self.exploration > 1:
            raise OptionError(f"dopr: exploration {self.exploration} is no probability, as explore: epsilon needs it")
        if self.explore == "thompson" and self.similarity == "none" and self.volatility not in ("window", "beta"):
            raise OptionError(f"dopr: explore thompson needs volatility window or beta, not {self.volatility}")

    def _make_estimate(self) -> VolatilityEstimate | SharedVolatility:
        history = self.setup.history if self.prior_rollouts else {}
        histories = [history.get(prompt, ()) for prompt in self.setup.pool]
        if self.similarity != "none":
            vectors = self.setup.features(self.similarity)
            prior = Prior(histories, self.prior_rollouts)
            return SharedVolatility(prior, vectors, self.bandwidth, self.forgetting, self.setup.group_size)
        if self.volatility == "none":
            return ConstantVolatility(len(histories))
        if self.volatility == "window":
            return Window(Prior(histories, self.prior_rollouts), self.window)
        if self.volatility == "beta":
            return Beta(Prior(histories, self.prior_rollouts), self.forgetting)
        return MovingAverage(histories, self.rate) if self.volatility == "ema" else History(histories)

    def select(self, step: int) -> list[str]:
        """Draw the candidates and return the prompts with the highest scores."""
        rng = generator(self.setup.seed, step)
        candidates = draw_candidates(rng, self.candidates, len(self.setup.pool))
        return [self.setup.pool[index] for index in self.choose(step, candidates, rng)]

    def choose(self, step: int, candidates: Indices, rng: np.random.Generator) -> NDArray[np.int64]:
        """Return the indices of the `count` chosen candidates, best first."""
        scores = self.scores(step, candidates, rng)
        if self.explore == "epsilon" and rng.random() < self.exploration:
            scores = np.zeros(len(scores))
        if self.temperature:  # the Gumbel-max trick: the top scores are then draws without replacement
            scores = scores / self.temperature + rng.gumbel(size=len(scores))
        chosen = top_scoring(scores, candidates, self.setup.count, rng)
        volatility, bonus = self.estimate.volatility(chosen, step), self.exploration_bonus(step, chosen)
        self.last_choice = {"volatility": float(np.mean(volatility)), "exploration": float(np.mean(bonus))}
        return chosen

    def scores(self, step: int, candidates: Indices, rng: np.random.Generator) -> Floats:
        """Return the score of each candidate, before epsilon and temperature."""
        if self.explore == "thompson":
            return np.minimum(self.estimate.sample_volatility(candidates, step, rng), self.cap)
        volatility = np.minimum(self.estimate.volatility(candidates, step), self.cap)
        return volatility + self.exploration_bonus(step, candidates) if self.explore == "ucb" else volatility

    def exploration_bonus(self, step: int, indices: Indices) -> Floats:
        """Return the upper-confidence bonus of some prompts; 0 unless `explore` is `ucb`."""
        strength = 0.0
        if self.explore == "ucb":
            strength = self.exploration * (self.entropy_scale.factor if self.entropy_scale else 1.0)
        bonus: Floats = strength * np.sqrt(math.log(step + 1) / (self.estimate.visit_counts(indices, step) + 1))
        return bonus

    def request(self, step: int, held: Sequence[GroupResult]) -> list[RolloutRequest]:
        """Request complete groups; with `screening`, the rest of the held groups, or a few rollouts per candidate."""
        if not self.screening:
            return super().request(step, held)
        missing = self.setup.group_size - self.screening
        completions = [RolloutRequest(group.prompt, missing, group) for group in held]
        if completions and not self.pipelined:
            return completions
        drawn = draw_candidates(generator(self.setup.seed, step), self.candidates, len(self.setup.pool))
        candidates = range(len(self.setup.pool)) if isinstance(drawn, slice) else drawn
        return completions + [RolloutRequest(self.setup.pool[index], self.screening) for index in candidates]

    def decide(self, step: int, groups: Sequence[GroupResult]) -> GroupDecision:
        """Train on complete groups. Hold the screened groups with the highest scores and discard the others."""
        complete = tuple(group for group in groups if len(group.rewards) >= self.setup.group_size)
        screened = [group for group in groups if group not in complete]
        if not screened:
            return GroupDecision(complete)
        candidates = np.array([self.index_of[group.prompt] for group in screened])
        chosen = self.choose(step, candidates, generator(self.setup.seed, step, 1)).tolist()
        return GroupDecision(complete, tuple(group for group in screened if self.index_of[group.prompt] in chosen))

    def observe(self, step: int, group: GroupResult) -> None:
        """Update the volatility estimate, and the entropy if it is used."""
        self.estimate.observe(step, self.index_of[group.prompt], group.rewards)
        if self.entropy_scale:
            self.entropy_scale.observe(group.entropy)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the volatility estimate and of the entropy scale, and the metrics of the last choice."""
        entropy = self.entropy_scale.state_dict() if self.entropy_scale else {}
        return {"estimate": self.estimate.state_dict(), "entropy": entropy, "last_choice": self.last_choice}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned, into a new selector."""
        self.estimate.load_state_dict(state["estimate"])
        if self.entropy_scale:
            self.entropy_scale.load_state_dict(state["entropy"])
        self.last_choice = state.get("last_choice", self.last_choice)  # older checkpoints do not have it

    def metrics(self) -> dict[str, float]:
        """Return the mean volatility and the mean exploration bonus of the prompts chosen last."""
        return self.last_choice
