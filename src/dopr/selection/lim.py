"""LIMR (arXiv 2502.11886): a fixed set, the prompts whose learning curves are most like that of the whole pool.

With s_ik the accuracy of prompt i at visit k of the profiling run, and m_k its mean over prompts,

    score_i = 1 - sum_k (s_ik - m_k)^2 / sum_k (1 - m_k)^2

over as many visits as the prompt visited least has (as in 1-shot RLVR's code, data_selection.py --method lim).
Departures: prompts never visited are left out; the paper keeps the prompts above a threshold, here the `top` are kept.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from dopr.selection.parts.drawing import OptionError
from dopr.selection.parts.fixed_set import FixedSet, highest
from dopr.selection.parts.historical_variance import History
from dopr.selection.selector import Setup


@dataclass
class Selector(FixedSet):
    """The `top` best-aligned prompts in turn; ties stay in file order."""

    setup: Setup
    top: Annotated[int, Field(gt=0)] = 1
    chosen: list[str] = field(init=False)
    history_option: ClassVar[str] = ""

    def __post_init__(self) -> None:
        scores = alignment(self.setup.history)
        self.chosen = highest("lim", sorted(scores, key=lambda prompt: -scores[prompt]), self.top)


def alignment(history: History) -> dict[str, float]:
    """The score of every visited prompt, at most 1.

    Raises:
        OptionError: every prompt was always solved, so that there is nothing to align with.
    """
    visited = {prompt: values for prompt, values in history.items() if len(values)}
    if not visited:
        return {}
    visits = min(map(len, visited.values()))
    curves = np.array([values[:visits] for values in visited.values()])
    mean = curves.mean(axis=0)
    room = float(((1 - mean) ** 2).sum())
    if room == 0:
        raise OptionError("lim: every prompt of the profile was always solved; there is no curve to align with")
    return dict(zip(visited, (1 - ((curves - mean) ** 2).sum(axis=1) / room).tolist(), strict=True))
