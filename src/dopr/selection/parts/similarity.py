"""Volatility shared across similar prompts: what one prompt's rewards say counts, by a kernel, for those like it.

With unit vectors x_i, and each past visit j (at step t_j) of s_j successes in n_j rollouts:

    k(i, j)  = exp((cos(x_i, x_j) - 1) / bandwidth)
    p_i      = (a_i + sum_j w_j k(i, j) s_j) / (a_i + b_i + sum_j w_j k(i, j) n_j),    w_j = forgetting^(t - t_j)
    V_i      = sqrt(p_i (1 - p_i))

where a_i, b_i are 1 plus the pseudo-rewards of the prompt's own profile, which are not spread. The visits that the
exploration bonus counts are spread alike: sum_j w_j k(i, j) n_j / G. The kernel is worked out only for the candidates
of a step; where the whole pool competes, sums are kept, and one visit is added to all of them at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dopr.selection.parts.drawing import Floats, Places
from dopr.selection.parts.volatility import Prior, deviation, thompson

PSEUDO = 1.0


class SharedVolatility:
    """Kernel-weighted counts. vectors: unit vectors, [prompts, dimensions]; group: rollouts that count as a visit."""

    def __init__(
        self, prior: Prior, vectors: NDArray[np.float32], bandwidth: float, forgetting: float, group: int
    ) -> None:
        self.prior, self.vectors, self.group = prior, vectors, group
        self.bandwidth, self.forgetting = bandwidth, forgetting
        self.places: list[int] = []  # of each visit, in order
        self.steps: list[int] = []
        self.told: list[tuple[float, float]] = []  # successes and trials
        self.sums: NDArray[np.float64] | None = None  # [2, prompts], as of the last visit added to them
        self.added = 0

    def observe(self, step: int, place: int, rewards: Sequence[float]) -> None:
        """Note a visit; its weight for others is worked out when they are asked about."""
        self.places.append(place)
        self.steps.append(step)
        self.told.append((float(sum(rewards)), float(len(rewards))))

    def volatility(self, places: Places, step: int) -> Floats:
        """sqrt(p (1 - p)) of the prompts at `places`, as of `step`."""
        successes, trials = self.spread(places, step)
        return deviation(
            successes + self.prior.successes[places] + PSEUDO, trials + self.prior.trials[places] + 2 * PSEUDO
        )

    def drawn(self, places: Places, step: int, rng: np.random.Generator) -> Floats:
        """The same at p drawn from its Beta posterior."""
        successes, trials = self.spread(places, step)
        return thompson(successes + self.prior.successes[places], trials + self.prior.trials[places], PSEUDO, rng)

    def seen(self, places: Places, step: int) -> Floats:
        """Visits that similar prompts' visits are worth for the prompts at `places`."""
        seen: Floats = self.spread(places, step)[1] / self.group
        return seen

    def spread(self, places: Places, step: int) -> NDArray[np.float64]:
        """Successes and trials that the visits so far are worth for the prompts at `places`, [2, places]."""
        if isinstance(places, slice):
            return self._all(step)
        if not self.places:
            return np.zeros((2, len(places)))
        fading = np.power(self.forgetting, step - np.asarray(self.steps))
        told = np.asarray(self.told) * fading[:, None]
        spread: NDArray[np.float64] = (self._kernel(self.vectors[places] @ self.vectors[self.places].T) @ told).T
        return spread

    def _all(self, step: int) -> NDArray[np.float64]:
        """The sums of the whole pool. Visits are added one by one, so that a restored run adds the same floats."""
        if self.sums is None:
            self.sums = np.zeros((2, len(self.vectors)))
        for i in range(self.added, len(self.places)):
            if i and self.forgetting < 1:
                self.sums *= self.forgetting ** (self.steps[i] - self.steps[i - 1])
            kernel = self._kernel(self.vectors @ self.vectors[self.places[i]])
            self.sums += np.outer(self.told[i], kernel)
        self.added = len(self.places)
        if not self.places or self.forgetting == 1:
            return self.sums
        faded: NDArray[np.float64] = self.sums * self.forgetting ** (step - self.steps[-1])
        return faded

    def _kernel(self, cosines: NDArray[np.float32]) -> Floats:
        kernel: Floats = np.exp((np.minimum(cosines.astype(np.float64), 1.0) - 1) / self.bandwidth)
        return kernel

    def state_dict(self) -> dict[str, Any]:
        """Every visit: the sums follow from them."""
        return {"places": list(self.places), "steps": list(self.steps), "told": [list(pair) for pair in self.told]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        self.places, self.steps = list(state["places"]), list(state["steps"])
        self.told = [(successes, trials) for successes, trials in state["told"]]
        self.sums, self.added = None, 0
