"""Replay of recent informative groups: several updates from each rollout.

Positive rollouts of old groups stay useful for a while; the clip against the stored behaviour log-probabilities keeps
them from pulling too far. Not part of either paper; every selector can be given it, so its gain is told apart.
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
    """The last `window` groups with a non-zero advantage."""

    def __init__(self, settings: Reuse, seed: int) -> None:
        self.settings = settings
        self.seed = seed
        self.groups: list[list[tuple[Rollout, float]]] = []

    def draw(self, step: int, turn: int) -> list[TrainingSample]:
        """Rows of `groups` random groups for one update of a step; a function of (seed, step, turn) alone."""
        rng = random.Random(derive_seed(self.seed, "replay", step, turn))
        groups = rng.sample(self.groups, min(self.settings.groups, len(self.groups)))
        return [TrainingSample(rollout, advantage, fresh=False) for group in groups for rollout, advantage in group]

    def add(self, group: Sequence[TrainingSample]) -> None:
        """Keep a group if it is informative; the oldest one beyond the window goes."""
        rows = [(row.rollout, row.advantage) for row in group if row.advantage > 0.0 or not self.settings.positive_only]
        if any(advantage != 0.0 for _, advantage in rows):
            self.groups = [*self.groups, rows][-self.settings.window :]

    def state_dict(self) -> dict[str, Any]:
        """The groups, as plain values."""
        return {"groups": [[(asdict(rollout), advantage) for rollout, advantage in group] for group in self.groups]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        self.groups = [
            [(Rollout.from_fields(fields), advantage) for fields, advantage in group] for group in state["groups"]
        ]
