"""Drawing candidates, and taking the best of them, in time that does not grow with the pool unless all of it competes.

Prompts are known here by their place in the pool; all of the pool is `slice(None)`, which numpy reads without a copy.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dopr.errors import UserError

Places = NDArray[np.int64] | slice
Floats = NDArray[np.float64]
EVERY = slice(None)


class OptionError(UserError):
    """Options of a selector that cannot hold together; the message names them."""


def generator(*parts: int) -> np.random.Generator:
    """Random numbers of their own for each (seed, step, ...)."""
    return np.random.default_rng(parts)


def check_candidates(selector: str, candidates: int | Literal["all"], count: int, pool: int) -> None:
    """Enough candidates to choose from, and enough prompts for them.

    Raises:
        OptionError: fewer candidates than prompts a step, or fewer prompts in the pool.
    """
    if count > pool:
        raise OptionError(f"{selector}: {count} prompts a step are more than the {pool} of the pool; lower the count")
    if candidates != "all" and candidates < count:
        raise OptionError(f"{selector}: {candidates} candidates are fewer than the {count} prompts of a step")


def draw_candidates(rng: np.random.Generator, candidates: int | Literal["all"], pool: int) -> Places:
    """Places of distinct random candidates in the order drawn, or of the whole pool."""
    if candidates == "all":
        return EVERY
    return rng.choice(pool, size=min(candidates, pool), replace=False)


def best(scores: Floats, places: Places, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """The places of the `count` highest scores, highest first.

    Ties go to the candidate drawn first; where the whole pool competes, to a random one, as file order means nothing.
    """
    if not isinstance(places, slice):
        return places[np.argsort(-scores, kind="stable")[:count]]
    if count == 1:
        return rng.choice(np.flatnonzero(scores == scores.max()), size=1)
    edge = np.partition(scores, -count)[-count]
    above, tied = np.flatnonzero(scores > edge), np.flatnonzero(scores == edge)
    filled = rng.choice(tied, size=count - len(above), replace=False)
    return np.concatenate([above[np.argsort(-scores[above], kind="stable")], filled])


def draw_rates(successes: Floats, failures: Floats, rng: np.random.Generator) -> Floats:
    """A draw from each Beta(successes, failures); most are Beta(1, 1) in a large pool, which is uniform, and cheap."""
    rates = rng.random(len(successes))
    known = np.flatnonzero((successes != 1) | (failures != 1))
    rates[known] = rng.beta(successes[known], failures[known])
    return rates


class Epochs:
    """The endless sequence of a pool's places: every place once an epoch, each epoch in a new order."""

    def __init__(self, seed: int, pool: int) -> None:
        self.seed, self.pool = seed, pool
        self.epoch, self.order = -1, np.zeros(0, np.int64)

    def __getitem__(self, position: int) -> int:
        """The place at a position of the sequence."""
        epoch, rest = divmod(position, self.pool)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, generator(self.seed, epoch).permutation(self.pool)
        return int(self.order[rest])
