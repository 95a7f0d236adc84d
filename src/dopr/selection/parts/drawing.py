"""Draw candidate prompts and take the best of them.

Prompts are identified by their index in the pool. The whole pool is `slice(None)`, so that numpy does not copy it. The
time of a step grows with the pool only if the whole pool competes.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from dopr.errors import UserError

Indices = NDArray[np.int64] | slice
Floats = NDArray[np.float64]
ALL_PROMPTS = slice(None)


class OptionError(UserError):
    """Options of a selector that contradict each other or the pool; the message names them."""


def generator(*parts: int) -> np.random.Generator:
    """Return a random number generator that depends on `parts`, such as (seed, step), alone."""
    return np.random.default_rng(parts)


def check_candidates(selector: str, candidates: int | Literal["all"], count: int, pool_size: int) -> None:
    """Check that `count` prompts can be chosen from the candidates, and from the pool.

    Raises:
        OptionError: If the pool or the candidates are fewer than the prompts of a step.
    """
    if count > pool_size:
        raise OptionError(
            f"{selector}: {count} prompts a step are more than the {pool_size} of the pool; lower the count"
        )
    if candidates != "all" and candidates < count:
        raise OptionError(f"{selector}: {candidates} candidates are fewer than the {count} prompts of a step")


def draw_candidates(rng: np.random.Generator, candidates: int | Literal["all"], pool_size: int) -> Indices:
    """Draw distinct prompts uniformly, in random order; `all` gives the whole pool, without a draw."""
    if candidates == "all":
        return ALL_PROMPTS
    return rng.choice(pool_size, size=min(candidates, pool_size), replace=False)


def top_scoring(scores: Floats, indices: Indices, count: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the indices of the `count` highest scores, highest first.

    Ties go to the candidate drawn first. If the whole pool competes they are broken at random, because file order means
    nothing.

    Args:
        scores: [candidates].
        indices: The index of each candidate in the pool, [candidates].
        count: How many to return.
        rng: Breaks the ties of the whole pool.
    """
    if not isinstance(indices, slice):
        return indices[np.argsort(-scores, kind="stable")[:count]]
    if count == 1:
        return rng.choice(np.flatnonzero(scores == scores.max()), size=1)
    threshold = np.partition(scores, -count)[-count]
    above, tied = np.flatnonzero(scores > threshold), np.flatnonzero(scores == threshold)
    drawn = rng.choice(tied, size=count - len(above), replace=False)
    return np.concatenate([above[np.argsort(-scores[above], kind="stable")], drawn])


def draw_success_rates(alpha: Floats, beta: Floats, rng: np.random.Generator) -> Floats:
    """Draw a success rate from each Beta(alpha, beta); all three are [prompts].

    Most prompts of a large pool are not visited yet. Theirs is Beta(1, 1), which is uniform and cheaper to draw.
    """
    rates = rng.random(len(alpha))
    informed = np.flatnonzero((alpha != 1) | (beta != 1))
    rates[informed] = rng.beta(alpha[informed], beta[informed])
    return rates


class ShuffledEpochs:
    """An endless sequence of prompt indices: each epoch has every prompt once, in a new random order."""

    def __init__(self, seed: int, pool_size: int) -> None:
        self.seed, self.pool_size = seed, pool_size
        self.epoch, self.order = -1, np.zeros(0, np.int64)

    def __getitem__(self, position: int) -> int:
        """Return the prompt index at a position of the sequence."""
        epoch, offset = divmod(position, self.pool_size)
        if epoch != self.epoch:
            self.epoch, self.order = epoch, generator(self.seed, epoch).permutation(self.pool_size)
        return int(self.order[offset])
