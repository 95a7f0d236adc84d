"""GRESO (arXiv 2506.02177): prompts whose last visits were uninformative are skipped at random, before any rollout.

A group is easy if all its rewards are right, and hard if all are wrong. A prompt whose last z visits in a row were
uninformative is kept with probability max(p^z, floor), where p is p_easy or p_hard, by the kind of its last visit; all
other prompts are kept. Prompts come in GRPO's order until `count` are kept.

From the second epoch on, p_easy and p_hard are adapted after each step: p_easy is lowered by 0.01 if the share of easy
groups in the step reached its target, and raised by 0.01 otherwise; p_hard likewise. Both stay within [0.05, 0.95].
The targets are 1/3 of `zero_signal` for easy and 2/3 for hard groups. These numbers and the default 0.25 are those of
the authors' code (Infini-AI-Lab/GRESO, ray_trainer.py). It has no default for the first p; 1/2 is ours.

Departures: GRESO fills its batch by dynamic sampling after the rollouts, and chooses the size of each round by what is
missing. Here a step costs `count` groups whatever the rewards, and all of them are trained on; the uninformative ones
have no gradient.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from dopr.selection.parts.drawing import ShuffledEpochs, generator
from dopr.selection.selector import BaseSelector, GroupResult, Setup

STEP, LOWEST, HIGHEST = 0.01, 0.05, 0.95
TARGET_SHARE = {"easy": 1 / 3, "hard": 2 / 3}  # of zero_signal

Probability = Annotated[float, Field(ge=0, le=1)]


@dataclass
class Selector(BaseSelector):
    """The next `count` prompts that are not skipped.

    Args:
        setup: What the selector may use.
        p_easy: First value of p for easy groups.
        p_hard: First value of p for hard groups.
        floor: The lowest probability of keeping a prompt.
        zero_signal: Target share of uninformative groups in a step.
    """

    setup: Setup
    p_easy: Probability = 0.5
    p_hard: Probability = 0.5
    floor: Annotated[float, Field(gt=0, le=1)] = 0.01
    zero_signal: Probability = 0.25
    epochs: ShuffledEpochs = field(init=False, repr=False)
    p: dict[str, float] = field(init=False)
    position: int = field(init=False, default=0)
    streaks: dict[str, tuple[int, str]] = field(init=False, repr=False, default_factory=dict)
    step_counts: Counter[str] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self.epochs = ShuffledEpochs(self.setup.seed, len(self.setup.pool))
        self.p = {"easy": self.p_easy, "hard": self.p_hard}

    def select(self, step: int) -> list[str]:
        """Return the next `count` prompts of the shuffled epochs that are kept."""
        self._adapt()
        rng = generator(self.setup.seed, step)
        kept: list[str] = []
        while len(kept) < self.setup.count:
            prompt = self.setup.pool[self.epochs[self.position]]
            self.position += 1
            if rng.random() < self.keep_probability(prompt):
                kept.append(prompt)
        return kept

    def keep_probability(self, prompt: str) -> float:
        """Return the probability that a prompt is not skipped."""
        length, kind = self.streaks.get(prompt, (0, "easy"))
        return max(self.p[kind] ** length, self.floor)

    def _adapt(self) -> None:
        """Adapt p_easy and p_hard to the groups of the step before."""
        total = self.step_counts.total()
        if total and self.position > len(self.setup.pool):
            for kind in self.p:
                reached = self.step_counts[kind] / total >= self.zero_signal * TARGET_SHARE[kind]
                adapted = self.p[kind] + (-STEP if reached else STEP)
                self.p[kind] = min(HIGHEST, max(LOWEST, adapted))
        self.step_counts.clear()

    def observe(self, step: int, group: GroupResult) -> None:
        """Extend or end the prompt's streak of uninformative visits."""
        if group.informative:
            self.streaks.pop(group.prompt, None)
            kind = "informative"
        else:
            kind = "easy" if group.rewards[0] > 0 else "hard"
            self.streaks[group.prompt] = (self.streaks.get(group.prompt, (0, ""))[0] + 1, kind)
        self.step_counts[kind] += 1

    def state_dict(self) -> dict[str, Any]:
        """Return the position in the epochs, p_easy and p_hard, the streaks, and the groups of this step by kind."""
        streaks = {prompt: list(streak) for prompt, streak in self.streaks.items()}
        return {"position": self.position, "p": dict(self.p), "streaks": streaks, "counts": dict(self.step_counts)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned."""
        self.position, self.p, self.step_counts = state["position"], dict(state["p"]), Counter(state["counts"])
        self.streaks = {prompt: (length, kind) for prompt, (length, kind) in state["streaks"].items()}

    def metrics(self) -> dict[str, float]:
        """Return p_easy and p_hard, and how many prompts came up so far, with the skipped ones."""
        return {"p_easy": self.p["easy"], "p_hard": self.p["hard"], "come_by": float(self.position)}
