"""The informative share: how many groups of rollouts are informative, and how many rollouts one of them costs."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from dopr.analysis.statistics import FloatArray


def informative_share(p: ArrayLike, group: int) -> FloatArray:
    """Return q(p, G) = 1 - p^G - (1 - p)^G, the chance that a group of G independent rollouts is informative.

    Source: elementary. It assumes rewards of 0 and 1 and rollouts of one policy. It is largest at p = 1/2.

    Args:
        p: Success rates of any shape.
        group: G, the rollouts of a group.
    """
    rate = np.asarray(p, dtype=np.float64)
    return 1 - rate**group - (1 - rate) ** group


def rollouts_per_informative_group(share: float, group: int) -> float:
    """Return the expected rollouts G / q until the first informative group.

    Source: elementary (geometric distribution). It assumes independent groups that are informative with the same chance
    `share`. For uniform sampling of a pool, that is the mean of q(p, G) over its prompts. No selector needs fewer than
    G / informative_share(1/2, G).
    """
    return group / share if share > 0 else math.inf
