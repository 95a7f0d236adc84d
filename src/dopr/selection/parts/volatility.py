"""Estimates of a prompt's reward volatility from its visits, each kept up to date by one visit at a time.

    window   sqrt(p (1 - p)): the standard deviation of the rewards of the last visits and of the profile's
             pseudo-rewards; with neither, 1/2, the largest possible
    beta     the same at the mean of a Beta posterior, p = a / (a + b). It starts at Beta(1, 1) plus the profile's
             pseudo-rewards, and each visit forgets: a <- f a + (1 - f) a_0 + successes (MoPPS, arXiv 2507.04632)
    ema      the root of a moving average of the unbiased Bernoulli variance: v <- (1 - r) v + r u with
             u = m (1 - m) G / (G - 1), m the mean of a group of G rewards. It starts at the mean of m (1 - m) over the
             profile's visits (uncorrected, as their G is not known here), or at 1/4
    history  the standard deviation of the accuracies of all visits, the profile's first: the historical variance of
             1-shot RLVR (arXiv 2504.20571, Eq. 1), computed on line; with fewer than two visits, 1/2
    none     0 for all: the control that leaves exploration alone

All are 1/2 at most for group means, so that they share a scale. They hold one number a prompt, ready to be read:
what a step costs does not grow with the visits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dopr.selection.parts.drawing import EVERY, Floats, OptionError, Places, draw_rates

HIGHEST = 0.5  # standard deviation of a fair coin
Histories = Sequence[tuple[float, ...]]


class VolatilityEstimate:
    """Volatility and number of visits of `prompts` prompts."""

    def __init__(self, prompts: int) -> None:
        self.visits: Floats = np.zeros(prompts)
        self.values: Floats = np.full(prompts, HIGHEST)

    def volatility(self, places: Places, step: int) -> Floats:
        """Of the prompts at `places`, as of `step`."""
        return self.values[places]

    def seen(self, places: Places, step: int) -> Floats:
        """Visits of the prompts at `places`."""
        return self.visits[places]

    def drawn(self, places: Places, step: int, rng: np.random.Generator) -> Floats:
        """Volatility at a success probability drawn from its posterior.

        Raises:
            OptionError: this estimate has no posterior.
        """
        raise OptionError("explore: thompson draws from a Beta posterior: it needs volatility window or beta")

    def observe(self, step: int, place: int, rewards: Sequence[float]) -> None:
        """Count a visit and learn from it."""
        self.visits[place] += 1
        self.learn(place, rewards)

    def learn(self, place: int, rewards: Sequence[float]) -> None:
        """Bring `values` up to date."""
        raise NotImplementedError

    def arrays(self) -> dict[str, NDArray[Any]]:
        """What is kept of each visited prompt, besides its visits."""
        return {"values": self.values}

    def state_dict(self) -> dict[str, Any]:
        """The visited prompts alone, by place."""
        places = np.flatnonzero(self.visits)
        kept = {"visits": self.visits, **self.arrays()}
        return {"places": places.tolist(), **{name: array[places].tolist() for name, array in kept.items()}}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict, for an estimate that has seen nothing yet."""
        places = np.asarray(state["places"], np.int64)
        for name, array in {"visits": self.visits, **self.arrays()}.items():
            array[places] = state[name]


class Counts(VolatilityEstimate):
    """Successes and trials, joined by those of a prior; `pseudo` of each kind besides."""

    pseudo = 0.0

    def __init__(self, prior: Prior) -> None:
        super().__init__(len(prior.trials))
        self.prior = prior
        self.successes, self.trials = np.zeros(len(prior.trials)), np.zeros(len(prior.trials))
        self.values = deviation(*self.counts(EVERY))

    def counts(self, places: Places) -> tuple[Floats, Floats]:
        """Successes and trials, prior and pseudo-rewards included."""
        successes = self.successes[places] + self.prior.successes[places] + self.pseudo
        return successes, self.trials[places] + self.prior.trials[places] + 2 * self.pseudo

    def drawn(self, places: Places, step: int, rng: np.random.Generator) -> Floats:
        """Volatility at p drawn from Beta(1 + successes, 1 + failures)."""
        return thompson(*self.counts(places), 1 - self.pseudo, rng)

    def refresh(self, place: int) -> None:
        """Compute the volatility of one prompt anew."""
        self.values[place] = deviation(*self.counts(np.array([place])))[0]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The counts beside the values."""
        return {"values": self.values, "successes": self.successes, "trials": self.trials}


class Window(Counts):
    """Counts over the last `window` visits."""

    def __init__(self, prior: Prior, window: int) -> None:
        super().__init__(prior)
        self.window = window
        self.recent: dict[int, list[list[float]]] = {}

    def learn(self, place: int, rewards: Sequence[float]) -> None:
        """The newest visit replaces the oldest."""
        visit = [float(sum(rewards)), float(len(rewards))]
        self.recent[place] = [*self.recent.get(place, []), visit][-self.window :]
        self.successes[place], self.trials[place] = np.sum(self.recent[place], axis=0)
        self.refresh(place)

    def state_dict(self) -> dict[str, Any]:
        """The visits of the window as well."""
        state = super().state_dict()
        return {**state, "recent": [self.recent[place] for place in state["places"]]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""
        super().load_state_dict(state)
        self.recent = dict(zip(state["places"], state["recent"], strict=True))


class Beta(Counts):
    """Counts that fade by `forgetting` at every visit of their prompt (1: they do not)."""

    pseudo = 1.0

    def __init__(self, prior: Prior, forgetting: float) -> None:
        super().__init__(prior)
        self.forgetting = forgetting

    def learn(self, place: int, rewards: Sequence[float]) -> None:
        """Fade and add: only what exceeds the prior fades, so that the posterior returns to the prior."""
        self.successes[place] = self.forgetting * self.successes[place] + sum(rewards)
        self.trials[place] = self.forgetting * self.trials[place] + len(rewards)
        self.refresh(place)


class MovingAverage(VolatilityEstimate):
    """Root of a moving average, in which a new visit weighs `rate`."""

    def __init__(self, histories: Histories, rate: float) -> None:
        super().__init__(len(histories))
        self.rate = rate
        self.variances = np.full(len(histories), HIGHEST**2)
        for place, accuracies in enumerate(histories):
            if accuracies:
                self.variances[place] = np.mean([mean * (1 - mean) for mean in accuracies])
        self.values = np.sqrt(self.variances)

    def learn(self, place: int, rewards: Sequence[float]) -> None:
        """Average in the unbiased variance of the group; one reward alone says nothing of its variance."""
        size = len(rewards)
        if size > 1:
            mean = sum(rewards) / size
            unbiased = mean * (1 - mean) * size / (size - 1)
            self.variances[place] = (1 - self.rate) * self.variances[place] + self.rate * unbiased
            self.values[place] = np.sqrt(max(0.0, self.variances[place]))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The averages beside their roots."""
        return {"values": self.values, "variances": self.variances}


class History(VolatilityEstimate):
    """Population standard deviation of all group accuracies, from their count, sum and sum of squares."""

    def __init__(self, histories: Histories) -> None:
        super().__init__(len(histories))
        self.moments = np.zeros((len(histories), 3))
        for place, accuracies in enumerate(histories):
            for accuracy in accuracies:
                self._add(place, accuracy)

    def learn(self, place: int, rewards: Sequence[float]) -> None:
        """Add the accuracy of the group."""
        self._add(place, sum(rewards) / len(rewards))

    def _add(self, place: int, accuracy: float) -> None:
        self.moments[place] += (1, accuracy, accuracy * accuracy)
        number, total, squares = self.moments[place]
        if number > 1:
            self.values[place] = np.sqrt(max(0.0, squares / number - (total / number) ** 2))

    def arrays(self) -> dict[str, NDArray[Any]]:
        """The moments beside the values."""
        return {"values": self.values, "moments": self.moments}


class ConstantVolatility(VolatilityEstimate):
    """Visits are counted, and their rewards are not looked at."""

    def __init__(self, prompts: int) -> None:
        super().__init__(prompts)
        self.values = np.zeros(prompts)

    def learn(self, place: int, rewards: Sequence[float]) -> None:
        """Nothing is learned."""


class Prior:
    """Pseudo-rewards of each prompt: `weight` of them, at its mean accuracy in the profile; none if never visited."""

    def __init__(self, histories: Histories, weight: float) -> None:
        self.successes, self.trials = np.zeros(len(histories)), np.zeros(len(histories))
        for place, accuracies in enumerate(histories):
            if accuracies:
                self.successes[place] = weight * (sum(accuracies) / len(accuracies))
                self.trials[place] = weight


def deviation(successes: Floats, trials: Floats) -> Floats:
    """sqrt(p (1 - p)) with p = successes / trials; where there are no trials, the highest there can be."""
    mean = np.full(len(trials), 0.5)
    np.divide(successes, trials, out=mean, where=trials > 0)
    spread: Floats = np.sqrt(np.maximum(0.0, mean * (1 - mean)))
    return spread


def thompson(successes: Floats, trials: Floats, pseudo: float, rng: np.random.Generator) -> Floats:
    """sqrt(p (1 - p)) with p drawn from Beta(successes + pseudo, failures + pseudo)."""
    mean = draw_rates(successes + pseudo, np.maximum(0.0, trials - successes) + pseudo, rng)
    spread: Floats = np.sqrt(mean * (1 - mean))
    return spread
