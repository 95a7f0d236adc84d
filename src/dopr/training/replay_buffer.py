"""Replay of recent informative groups: several updates from each rollout.

Rollouts of old groups stay useful for a while. The clip against the stored log-probabilities limits how far they move
the policy. Replay is part of neither paper. It is an option of every recipe, so its effect can be measured apart from
the selector's.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from dopr.config.recipe import Reuse
from dopr.records import Rollout, derive_seed
from dopr.training.update import TrainingSample


class ReplayBuffer:
    """The last `window` groups with an advantage other than zero."""

    def __init__(self, settings: Reuse, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self.groups: list[list[tuple[Rollout, float]]] = []

    def sample(self, step: int, pass_index: int) -> list[TrainingSample]:
        """Sample the rollouts of `groups` random groups, for one pass of a step; only these and the seed decide."""
        rng = random.Random(derive_seed(self.seed, "replay", step, pass_index))
        groups = rng.sample(self.groups, min(self.settings.groups, len(self.groups)))
        return [TrainingSample(rollout, advantage, fresh=False) for group in groups for rollout, advantage in group]

    def add(self, group: Sequence[TrainingSample]) -> None:
        """Store a group if an advantage differs from zero, and drop the oldest beyond the window."""
        kept = [
            (sample.rollout, sample.advantage)
            for sample in group
            if sample.advantage > 0.0 or not self.settings.positive_only
        ]
        if any(advantage != 0.0 for _, advantage in kept):
            self.groups = [*self.groups, kept][-self.settings.window :]

    def state_dict(self) -> dict[str, Any]:
        """Return the groups as plain values."""
        return {"groups": [[(asdict(rollout), advantage) for rollout, advantage in group] for group in self.groups]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned."""
        self.groups = [
            [(Rollout.from_fields(fields), advantage) for fields, advantage in group] for group in state["groups"]
        ]
