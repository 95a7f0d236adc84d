"""Base class of selectors that train on a fixed set of prompts."""

from __future__ import annotations

from collections.abc import Sequence

from dopr.selection.parts.drawing import OptionError
from dopr.selection.selector import StatelessSelector


class FixedSet(StatelessSelector):
    """The prompts of `chosen`, in a cycle; a step that takes more prompts than there are gets copies."""

    chosen: Sequence[str]

    def select(self, step: int) -> list[str]:
        """Return the next `count` prompts of the cycle."""
        start = step * self.setup.count
        return [self.chosen[(start + i) % len(self.chosen)] for i in range(self.setup.count)]


def top_ranked(selector: str, ranking: Sequence[str], top: int) -> list[str]:
    """Return the first `top` prompts of a ranking.

    Raises:
        OptionError: If the ranking is shorter; the message names the selector.
    """
    if len(ranking) < top:
        raise OptionError(f"{selector}: top {top} asked for, but only {len(ranking)} prompts have a history")
    return list(ranking[:top])
