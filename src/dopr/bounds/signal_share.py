"""The signal share: how many groups of rollouts have mixed rewards, and what one of them costs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from dopr.analysis.statistics import FloatArray


def informative_share(p: ArrayLike, group: int) -> FloatArray:
    """q(p, G) = 1 - p^G - (1 - p)^G: the chance that a group of G independent rollouts has mixed rewards.

    Source: elementary. Assumes rewards of 0 and 1, and rollouts of one policy. Largest at p = 1/2.

    Args:
        p: success rates, any shape. group: G, rollouts.
    """
    rate = np.asarray(p, dtype=np.float64)
    return 1 - rate**group - (1 - rate) ** group


def rollouts_per_informative_group(share: float, group: int) -> float:
    """Expected rollouts G / q until one group carries signal, when groups are drawn again until one does.

    Source: elementary (geometric distribution). Assumes groups are independent with the same chance `share`; for
    uniform sampling of a pool that is the mean of q(p, G) over its prompts. No selector does better than
    G / informative_share(1/2, G).
    """
    return group / share if share > 0 else math.inf
