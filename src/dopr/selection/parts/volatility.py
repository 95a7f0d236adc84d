"""Estimates of the reward volatility of each prompt, updated by one visit at a time.

    window   sqrt(p (1 - p)), the standard deviation of 0/1 rewards: p is their mean over the last visits and the
             pseudo-rewards of the profiling run; with neither, the volatility is 1/2, the maximum
    beta     the same with p = a / (a + b), the mean of a Beta posterior. It starts at Beta(1, 1) plus the
             pseudo-rewards; each visit updates a <- f a + (1 - f) a_0 + successes (MoPPS, arXiv 2507.04632)
    ema      sqrt(v), where v is a moving average of the unbiased Bernoulli variance: v <- (1 - r) v + r u with
             u = m (1 - m) G / (G - 1), m the mean of a group of G rewards. v starts at the mean of m (1 - m) over the
             visits of the profiling run (without the correction, because G is not known here), or at 1/4
    history  the standard deviation of the accuracies of all visits, those of the profiling run first: the historical
             variance of 1-shot RLVR (arXiv 2504.20571, Eq. 1), computed online; 1/2 before the second visit
    none     0 for all prompts: the control in which only the exploration term acts

All are at most 1/2 for 0/1 rewards, except that ema can exceed it by a factor of sqrt(G / (G - 1)). Each keeps the
current volatility of every prompt, so the cost of a step does not grow with the number of visits.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dopr.selection.parts.drawing import ALL_PROMPTS, Floats, Indices, OptionError, draw_success_rates

MAX_VOLATILITY = 0.5  # the standard deviation of a fair coin
Histories = Sequence[tuple[float, ...]]  # accuracies of the visits in the profiling run, for each prompt


class VolatilityEstimate(ABC):
    """The volatility and the number of visits of each prompt. Subclasses define `update`."""

    def __init__(self, num_prompts: int) -> None:
        self.visits: Floats = np.zeros(num_prompts)
        self.values: Floats = np.full(num_prompts, MAX_VOLATILITY)

    def volatility(self, indices: Indices, step: int) -> Floats:
        """Return the volatility of some prompts at `step`."""
        return self.values[indices]

    def visit_counts(self, indices: Indices, step: int) -> Floats:
        """Return how often each of some prompts was visited before `step`."""
        return self.visits[indices]

    def sample_volatility(self, indices: Indices, step: int, rng: np.random.Generator) -> Floats:
        """Return the volatility of some prompts at success rates drawn from their posterior.

        Raises:
            OptionError: If this estimate has no posterior.
        """
        raise OptionError("explore: thompson draws from a Beta posterior: it needs volatility window or beta")

    def observe(self, step: int, index: int, rewards: Sequence[float]) -> None:
        """Count a visit of a prompt and update its volatility."""
        self.visits[index] += 1
        self.update(index, rewards)

    @abstractmethod
    def update(self, index: int, rewards: Sequence[float]) -> None:
        """Update the volatility of a prompt from the rewards of a visit."""

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the arrays of per-prompt state, besides the visits."""
        return {"values": self.values}

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the visited prompts."""
        indices = np.flatnonzero(self.visits)
        arrays = {"visits": self.visits, **self.arrays()}
        return {"indices": indices.tolist(), **{name: array[indices].tolist() for name, array in arrays.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned, into a new estimate."""
        indices = np.asarray(state["indices"], np.int64)
        for name, array in {"visits": self.visits, **self.arrays()}.items():
            array[indices] = state[name]


class Counts(VolatilityEstimate):
    """Volatility from counts of successes and trials; `pseudo_count` is added to successes and to failures."""

    pseudo_count = 0.0

    def __init__(self, prior: Prior) -> None:
        super().__init__(len(prior.trials))
        self.prior = prior
        self.successes, self.trials = np.zeros(len(prior.trials)), np.zeros(len(prior.trials))
        self.values = bernoulli_std(*self.counts(ALL_PROMPTS))

    def counts(self, indices: Indices) -> tuple[Floats, Floats]:
        """Return the successes and the trials of some prompts, with prior and pseudo-counts."""
        successes = self.successes[indices] + self.prior.successes[indices] + self.pseudo_count
        return successes, self.trials[indices] + self.prior.trials[indices] + 2 * self.pseudo_count

    def sample_volatility(self, indices: Indices, step: int, rng: np.random.Generator) -> Floats:
        """Return the volatility at success rates drawn from Beta(1 + successes, 1 + failures)."""
        return sample_bernoulli_std(*self.counts(indices), 1 - self.pseudo_count, rng)

    def refresh(self, index: int) -> None:
        """Recompute the volatility of one prompt from its counts."""
        self.values[index] = bernoulli_std(*self.counts(np.array([index])))[0]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the volatility and the counts."""
        return {"values": self.values, "successes": self.successes, "trials": self.trials}


class Window(Counts):
    """Counts over the last `window` visits of each prompt."""

    def __init__(self, prior: Prior, window: int) -> None:
        super().__init__(prior)
        self.window = window
        self.recent: dict[int, list[list[float]]] = {}  # index -> [successes, trials] of each visit in the window

    def update(self, index: int, rewards: Sequence[float]) -> None:
        """Add the visit to the window; the oldest one leaves it."""
        visit = [float(sum(rewards)), float(len(rewards))]
        self.recent[index] = [*self.recent.get(index, []), visit][-self.window :]
        self.successes[index], self.trials[index] = np.sum(self.recent[index], axis=0)
        self.refresh(index)

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the visited prompts, with the visits in the window."""
        state = super().state_dict()
        return {**state, "recent": [self.recent[index] for index in state["indices"]]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned, into a new estimate."""
        super().load_state_dict(state)
        self.recent = dict(zip(state["indices"], state["recent"], strict=True))


class Beta(Counts):
    """A Beta posterior whose counts are multiplied by `forgetting` at each visit of the prompt; 1 forgets nothing."""

    pseudo_count = 1.0

    def __init__(self, prior: Prior, forgetting: float) -> None:
        super().__init__(prior)
        self.forgetting = forgetting

    def update(self, index: int, rewards: Sequence[float]) -> None:
        """Discount the counts of earlier visits and add the new ones. The prior is not discounted."""
        self.successes[index] = self.forgetting * self.successes[index] + sum(rewards)
        self.trials[index] = self.forgetting * self.trials[index] + len(rewards)
        self.refresh(index)


class MovingAverage(VolatilityEstimate):
    """The square root of an exponential moving average of the reward variance; a new visit has weight `rate`."""

    def __init__(self, histories: Histories, rate: float) -> None:
        super().__init__(len(histories))
        self.rate = rate
        self.variances = np.full(len(histories), MAX_VOLATILITY**2)
        for index, accuracies in enumerate(histories):
            if accuracies:
                self.variances[index] = np.mean([mean * (1 - mean) for mean in accuracies])
        self.values = np.sqrt(self.variances)

    def update(self, index: int, rewards: Sequence[float]) -> None:
        """Average in the unbiased variance of the group. A single reward has no variance and is ignored."""
        size = len(rewards)
        if size > 1:
            mean = sum(rewards) / size
            unbiased = mean * (1 - mean) * size / (size - 1)
            self.variances[index] = (1 - self.rate) * self.variances[index] + self.rate * unbiased
            self.values[index] = np.sqrt(max(0.0, self.variances[index]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the volatility and the averaged variances."""
        return {"values": self.values, "variances": self.variances}


class History(VolatilityEstimate):
    """The population standard deviation of the accuracies of all visits, from running moments."""

    def __init__(self, histories: Histories) -> None:
        super().__init__(len(histories))
        self.moments = np.zeros((len(histories), 3))  # number, sum and sum of squares of the accuracies
        for index, accuracies in enumerate(histories):
            for accuracy in accuracies:
                self._add(index, accuracy)

    def update(self, index: int, rewards: Sequence[float]) -> None:
        """Add the accuracy of the group."""
        self._add(index, sum(rewards) / len(rewards))

    def _add(self, index: int, accuracy: float) -> None:
        self.moments[index] += (1, accuracy, accuracy * accuracy)
        number, total, squares = self.moments[index]
        if number > 1:
            self.values[index] = np.sqrt(max(0.0, squares / number - (total / number) ** 2))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Return the volatility and the moments."""
        return {"values": self.values, "moments": self.moments}


class ConstantVolatility(VolatilityEstimate):
    """Volatility 0 for every prompt; visits are still counted."""

    def __init__(self, num_prompts: int) -> None:
        super().__init__(num_prompts)
        self.values = np.zeros(num_prompts)

    def update(self, index: int, rewards: Sequence[float]) -> None:
        """Ignore the rewards."""


class Prior:
    """Pseudo-rewards: `weight` of them for each prompt, at its mean accuracy in the profiling run.

    A prompt that was not visited there has none.
    """

    def __init__(self, histories: Histories, weight: float) -> None:
        self.successes, self.trials = np.zeros(len(histories)), np.zeros(len(histories))
        for index, accuracies in enumerate(histories):
            if accuracies:
                self.successes[index] = weight * (sum(accuracies) / len(accuracies))
                self.trials[index] = weight


def bernoulli_std(successes: Floats, trials: Floats) -> Floats:
    """Return sqrt(p (1 - p)) with p = successes / trials, or 1/2 if there are no trials; all are [prompts]."""
    mean = np.full(len(trials), 0.5)
    np.divide(successes, trials, out=mean, where=trials > 0)
    std: Floats = np.sqrt(np.maximum(0.0, mean * (1 - mean)))
    return std


def sample_bernoulli_std(successes: Floats, trials: Floats, pseudo_count: float, rng: np.random.Generator) -> Floats:
    """Return sqrt(p (1 - p)) with p drawn from Beta(successes + pseudo_count, failures + pseudo_count)."""
    rates = draw_success_rates(successes + pseudo_count, np.maximum(0.0, trials - successes) + pseudo_count, rng)
    std: Floats = np.sqrt(rates * (1 - rates))
    return std
