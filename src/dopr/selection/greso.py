"""GRESO (arXiv 2506.02177): prompts whose last visits carried no signal are probably skipped, before any rollout.

A prompt whose last z visits in a row were all right or all wrong is kept with probability max(p^z, floor), where p is
p_easy if the last was all right and p_hard if it was all wrong; others are always kept. Prompts come in GRPO's order,
until `count` are kept. After each step from the second epoch on, p_easy and p_hard go down by .01 where the share of
all-right (all-wrong) groups of the step reached its target, and up otherwise, within .05 and .95. The targets are a
third and two thirds of `zero_signal`, as in the authors' code (Infini-AI-Lab/GRESO, ray_trainer.py), whose defaults
these bounds and .25 are; it has no default for the first p, so 1/2 is ours.

Departures: GRESO fills its batch by dynamic sampling after the rollouts and sizes each round by what is missing; here
a step costs `count` groups, whatever the rewards, and all are trained on (those without signal have no gradient).
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field

from dopr.selection.parts.drawing import Epochs, generator
from dopr.selection.selector import BaseSelector, GroupResult, Setup

STEP, LOWEST, HIGHEST = 0.01, 0.05, 0.95
SHARE = {"easy": 1 / 3, "hard": 2 / 3}  # of the zero-signal target

Chance = Annotated[float, Field(ge=0, le=1)]


@dataclass
class Selector(BaseSelector):
    """The next `count` prompts that are not skipped."""

    setup: Setup
    p_easy: Chance = 0.5
    p_hard: Chance = 0.5
    floor: Annotated[float, Field(gt=0, le=1)] = 0.01
    zero_signal: Chance = 0.25
    epochs: Epochs = field(init=False, repr=False)
    chance: dict[str, float] = field(init=False)
    position: int = field(init=False, default=0)
    dead: dict[str, tuple[int, str]] = field(init=False, repr=False, default_factory=dict)
    seen: Counter[str] = field(init=False, default_factory=Counter)

    def __post_init__(self) -> None:
        self.epochs = Epochs(self.setup.seed, len(self.setup.pool))
        self.chance = {"easy": self.p_easy, "hard": self.p_hard}

    def select(self, step: int) -> list[str]:
        """Go on through the epochs until enough prompts are kept."""
        self._tune()
        rng = generator(self.setup.seed, step)
        kept: list[str] = []
        while len(kept) < self.setup.count:
            prompt = self.setup.pool[self.epochs[self.position]]
            self.position += 1
            if rng.random() < self.keep(prompt):
                kept.append(prompt)
        return kept

    def keep(self, prompt: str) -> float:
        """The probability that a prompt is not skipped."""
        in_a_row, kind = self.dead.get(prompt, (0, "easy"))
        return max(self.chance[kind] ** in_a_row, self.floor)

    def _tune(self) -> None:
        """Adapt both probabilities to the groups of the last step."""
        total = self.seen.total()
        if total and self.position > len(self.setup.pool):
            for kind in self.chance:
                much = self.seen[kind] / total >= self.zero_signal * SHARE[kind]
                moved = self.chance[kind] + (-STEP if much else STEP)
                self.chance[kind] = min(HIGHEST, max(LOWEST, moved))
        self.seen.clear()

    def observe(self, step: int, group: GroupResult) -> None:
        """Count visits without signal in a row."""
        if group.informative:
            self.dead.pop(group.prompt, None)
            kind = "informative"
        else:
            kind = "easy" if group.rewards[0] > 0 else "hard"
            self.dead[group.prompt] = (self.dead.get(group.prompt, (0, ""))[0] + 1, kind)
        self.seen[kind] += 1

    def state_dict(self) -> dict[str, Any]:
        """The position in the epochs, the probabilities, and the prompts that may be skipped."""
        dead = {prompt: list(known) for prompt, known in self.dead.items()}
        return {"position": self.position, "chance": dict(self.chance), "dead": dead, "seen": dict(self.seen)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        self.position, self.chance, self.seen = state["position"], dict(state["chance"]), Counter(state["seen"])
        self.dead = {prompt: (in_a_row, kind) for prompt, (in_a_row, kind) in state["dead"].items()}

    def metrics(self) -> dict[str, float]:
        """The probabilities, and the prompts come by so far, skipped ones included."""
        return {"p_easy": self.chance["easy"], "p_hard": self.chance["hard"], "come_by": float(self.position)}
