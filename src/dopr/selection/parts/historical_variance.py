"""The historical variance score of 1-shot RLVR (arXiv 2504.20571, section 2).

The history of a prompt is its accuracy at every visit of a training run on the whole pool. Its score is the population
variance of that list (Eq. 1), and prompts are ranked by it in descending order (Eq. 2). Exact ties are common: all
prompts that were never solved tie, for example. The sort is stable in file order, as the published pi_1209 requires.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

History = Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Ranked:
    """A prompt with its rank, counted from 1, and the variance, the mean and the number of its accuracies."""

    rank: int
    prompt: str
    variance: float
    mean: float
    visits: int


def rank(history: History) -> list[Ranked]:
    """Rank the visited prompts by historical variance, highest first.

    The sort key is the standard deviation, as in the authors' code, because rounding then resolves ties as it does
    there.
    """
    visited = {prompt: np.asarray(values, dtype=float) for prompt, values in history.items() if len(values)}
    order = sorted(visited, key=lambda prompt: -visited[prompt].std())
    return [
        Ranked(position, prompt, float(visited[prompt].var()), float(visited[prompt].mean()), len(visited[prompt]))
        for position, prompt in enumerate(order, 1)
    ]
