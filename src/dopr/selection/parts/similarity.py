"""Volatility shared between similar prompts: a visit of one prompt also counts for others, weighted by a kernel.

With a unit vector x_i for each prompt, and s_j successes in n_j rollouts at past visit j (at step t_j):

    k(i, j)  = exp((cos(x_i, x_j) - 1) / bandwidth)
    w_j      = forgetting^(t - t_j)
    p_i      = (a_i + sum_j w_j k(i, j) s_j) / (a_i + b_i + sum_j w_j k(i, j) n_j)
    V_i      = sqrt(p_i (1 - p_i))

a_i and b_i are 1 plus the pseudo-rewards of prompt i itself, which are not shared. The number of visits in the
exploration bonus is weighted in the same way: sum_j w_j k(i, j) n_j / G.

The kernel is computed for the candidates of a step alone. If the whole pool competes, the sums are kept, and each visit
is added to them once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dopr.selection.parts.drawing import Floats, Indices
from dopr.selection.parts.volatility import Prior, bernoulli_std, sample_bernoulli_std

PSEUDO_COUNT = 1.0


class SharedVolatility:
    """Volatility from kernel-weighted counts of successes and trials; it has the methods of VolatilityEstimate.

    Args:
        prior: The pseudo-rewards of each prompt.
        vectors: A unit vector for each prompt, [prompts, dimensions].
        bandwidth: Of the kernel.
        forgetting: The weight that a visit keeps at each later step.
        group_size: Rollouts that count as one visit.
    """

    def __init__(
        self, prior: Prior, vectors: NDArray[np.float32], bandwidth: float, forgetting: float, group_size: int
    ) -> None:
        self.prior, self.vectors, self.group_size = prior, vectors, group_size
        self.bandwidth, self.forgetting = bandwidth, forgetting
        # Of each visit, in order: the prompt's index, the step, and (successes, trials).
        self.indices: list[int] = []
        self.steps: list[int] = []
        self.outcomes: list[tuple[float, float]] = []
        self.sums: NDArray[np.float64] | None = None  # [2, prompts], at the step of the last visit added to them
        self.visits_summed = 0

    def observe(self, step: int, index: int, rewards: Sequence[float]) -> None:
        """Record a visit."""
        self.indices.append(index)
        self.steps.append(step)
        self.outcomes.append((float(sum(rewards)), float(len(rewards))))

    def volatility(self, indices: Indices, step: int) -> Floats:
        """Return the volatility of some prompts at `step`."""
        successes, trials = self.weighted_counts(indices, step)
        return bernoulli_std(
            successes + self.prior.successes[indices] + PSEUDO_COUNT,
            trials + self.prior.trials[indices] + 2 * PSEUDO_COUNT,
        )

    def sample_volatility(self, indices: Indices, step: int, rng: np.random.Generator) -> Floats:
        """Return the volatility of some prompts at success rates drawn from their Beta posterior."""
        successes, trials = self.weighted_counts(indices, step)
        return sample_bernoulli_std(
            successes + self.prior.successes[indices], trials + self.prior.trials[indices], PSEUDO_COUNT, rng
        )

    def visit_counts(self, indices: Indices, step: int) -> Floats:
        """Return the kernel-weighted number of visits of some prompts before `step`."""
        visits: Floats = self.weighted_counts(indices, step)[1] / self.group_size
        return visits

    def weighted_counts(self, indices: Indices, step: int) -> NDArray[np.float64]:
        """Return the kernel-weighted successes and trials of some prompts, [2, prompts]."""
        if isinstance(indices, slice):
            return self._pool_counts(step)
        if not self.indices:
            return np.zeros((2, len(indices)))
        decay = np.power(self.forgetting, step - np.asarray(self.steps))
        outcomes = np.asarray(self.outcomes) * decay[:, None]
        counts: NDArray[np.float64] = (self._kernel(self.vectors[indices] @ self.vectors[self.indices].T) @ outcomes).T
        return counts

    def _pool_counts(self, step: int) -> NDArray[np.float64]:
        """Return the weighted counts of the whole pool.

        Visits are added one by one, in order, so that a resumed run adds the same floats.
        """
        if self.sums is None:
            self.sums = np.zeros((2, len(self.vectors)))
        for i in range(self.visits_summed, len(self.indices)):
            if i and self.forgetting < 1:
                self.sums *= self.forgetting ** (self.steps[i] - self.steps[i - 1])
            kernel = self._kernel(self.vectors @ self.vectors[self.indices[i]])
            self.sums += np.outer(self.outcomes[i], kernel)
        self.visits_summed = len(self.indices)
        if not self.indices or self.forgetting == 1:
            return self.sums
        decayed: NDArray[np.float64] = self.sums * self.forgetting ** (step - self.steps[-1])
        return decayed

    def _kernel(self, cosines: NDArray[np.float32]) -> Floats:
        kernel: Floats = np.exp((np.minimum(cosines.astype(np.float64), 1.0) - 1) / self.bandwidth)
        return kernel

    def state_dict(self) -> dict[str, Any]:
        """Return every visit. The sums are recomputed from them."""
        outcomes = [list(pair) for pair in self.outcomes]
        return {"indices": list(self.indices), "steps": list(self.steps), "outcomes": outcomes}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned."""
        self.indices, self.steps = list(state["indices"]), list(state["steps"])
        self.outcomes = [(successes, trials) for successes, trials in state["outcomes"]]
        self.sums, self.visits_summed = None, 0
