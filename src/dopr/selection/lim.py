"""LIMR (arXiv 2502.11886): a fixed set, the prompts whose learning curves are closest to the mean curve of the pool.

With s_ik the accuracy of prompt i at visit k of the profiling run, and m_k the mean of s_ik over prompts,

    score_i = 1 - sum_k (s_ik - m_k)^2 / sum_k (1 - m_k)^2

The sums run over the visits that every visited prompt has, as in the code of 1-shot RLVR (data_selection.py
--method lim).

Departures: prompts that were never visited are left out, and the `top` prompts are kept, where the paper keeps those
above a threshold.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field

from dopr.selection.parts.drawing import OptionError
from dopr.selection.parts.fixed_set import FixedSet, top_ranked
from dopr.selection.parts.historical_variance import History
from dopr.selection.selector import Setup


@dataclass
class Selector(FixedSet):
    """The `top` prompts by alignment score, in a cycle; ties stay in file order."""

    setup: Setup
    top: Annotated[int, Field(gt=0)] = 1
    chosen: list[str] = field(init=False)
    history_option: ClassVar[str] = ""

    def __post_init__(self) -> None:
        scores = alignment(self.setup.history)
        self.chosen = top_ranked("lim", sorted(scores, key=lambda prompt: -scores[prompt]), self.top)


def alignment(history: History) -> dict[str, float]:
    """Return the alignment score of every visited prompt; it is at most 1.

    Raises:
        OptionError: If every prompt was always solved, because the denominator is then 0.
    """
    visited = {prompt: values for prompt, values in history.items() if len(values)}
    if not visited:
        return {}
    shared_visits = min(map(len, visited.values()))
    curves = np.array([values[:shared_visits] for values in visited.values()])
    mean = curves.mean(axis=0)
    scale = float(((1 - mean) ** 2).sum())
    if scale == 0:
        raise OptionError("lim: every prompt of the profile was always solved; there is no curve to align with")
    return dict(zip(visited, (1 - ((curves - mean) ** 2).sum(axis=1) / scale).tolist(), strict=True))
