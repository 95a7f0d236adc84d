"""The historical variance score of 1-shot RLVR (arXiv 2504.20571, section 2).

A history is each prompt's accuracy at every visit of a training run on the whole pool. The score of a prompt is the
population variance of its list (Eq. 1); prompts are ranked by it in descending order (Eq. 2). Exact ties are common
(all prompts never solved, for one), so the sort is stable in file order: the published pi_1209 depends on it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

History = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Ranked:
    """A prompt's place: rank counted from 1, variance and mean of its accuracies, and how many there are."""

    rank: int
    prompt: str
    variance: float
    mean: float
    visits: int


def rank(history: History) -> list[Ranked]:
    """Every visited prompt, from the highest historical variance to the lowest.

    The key is the standard deviation, as in the authors' code: rounding then breaks exact ties the same way.
    """
    visited = {prompt: np.asarray(values, dtype=float) for prompt, values in history.items() if len(values)}
    order = sorted(visited, key=lambda prompt: -visited[prompt].std())
    return [
        Ranked(place, prompt, float(visited[prompt].var()), float(visited[prompt].mean()), len(visited[prompt]))
        for place, prompt in enumerate(order, 1)
    ]
