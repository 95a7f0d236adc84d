"""What selectors of a fixed set of prompts share."""

from __future__ import annotations

from collections.abc import Sequence

from dopr.selection.parts.drawing import OptionError
from dopr.selection.selector import StatelessSelector


class FixedSet(StatelessSelector):
    """The prompts of `chosen` in turn; with fewer of them than a step takes, they repeat as copies."""

    chosen: Sequence[str]

    def select(self, step: int) -> list[str]:
        """Positions step * count onwards of the endlessly repeated set."""
        start = step * self.setup.count
        return [self.chosen[(start + i) % len(self.chosen)] for i in range(self.setup.count)]


def highest(name: str, ranking: Sequence[str], top: int) -> list[str]:
    """The first `top` of a ranking.

    Raises:
        OptionError: it is shorter than that.
    """
    if len(ranking) < top:
        raise OptionError(f"{name}: top {top} asked for, but only {len(ranking)} prompts have a history")
    return list(ranking[:top])
