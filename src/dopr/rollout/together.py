"""Rollouts of several runs with adapters on one base, in one batch, each row with its own run's adapters.

A run that takes one prompt a step leaves most of an accelerator idle, and a step of eight runs' rows takes little
longer than one run's. So runs that share a process go side by side (Together), and are sampled for when all of them
wait. What a run draws follows from its own seeds, so it is what it draws alone, to rounding.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, Protocol

from dopr.policy.lora import Merged
from dopr.rollout.engine import Sample

Groups = list[list[Sample]]


class EndedError(Exception):
    """Another run has failed, and this one ends with it."""


@dataclass(frozen=True)
class Request:
    """What one run asks an engine for (see Engine), with the weights of its policy."""

    prompts: Sequence[Sequence[int]]
    n: int
    temperature: float
    max_new_tokens: int
    seed: int
    weights: Merged


class AdapterEngine(Protocol):
    """Samples from one base, which it has, with the adapters of several runs."""

    def generate_each(self, requests: Sequence[Request]) -> list[Groups]:
        """The completions of each request, to rounding as they are without the others."""


class Together:
    """Runs in threads, of which one goes at a time: the others wait for their turn, or for samples.

    Nothing they use has to be safe for threads, then. When one fails, the others end where they are.
    """

    def __init__(self, engine: AdapterEngine, runs: int) -> None:
        self.engine = engine
        self.turn = threading.Condition()
        self.going = set(range(runs))
        self.asked: dict[int, Request] = {}
        self.answers: dict[int, Groups] = {}
        self.failed = False

    def go(self, runs: Sequence[Callable[[], None]]) -> None:
        """Do all runs; raises what the first of them to fail raised."""
        with ThreadPoolExecutor(len(runs)) as threads:
            done = [threads.submit(self._run, place, run) for place, run in enumerate(runs)]
            try:
                wait(done)
            finally:  # interrupted, they are not done
                self.failed |= not all(each.done() for each in done)
        errors = [error for each in done if (error := each.exception())]
        for error in sorted(errors, key=lambda error: isinstance(error, EndedError)):
            raise error

    def sample(self, place: int, request: Request) -> Groups:
        """The samples of a run that has its turn, when all that still go have asked.

        Raises:
            EndedError: another run has failed.
        """
        self.asked[place] = request
        self._answer()
        while place not in self.answers:
            if self.failed:
                raise EndedError
            self.turn.wait()
        return self.answers.pop(place)

    def _run(self, place: int, run: Callable[[], None]) -> None:
        with self.turn:
            done = False
            try:
                if not self.failed:
                    run()
                    self.going.discard(place)
                    self._answer()
                done = True
            finally:
                self.failed |= not done
                self.turn.notify_all()

    def _answer(self) -> None:
        """Sample for all, if nobody is left to wait for; in the order of their places, whoever came first."""
        if self.asked and set(self.asked) == self.going and not self.failed:
            places, self.asked, asked = sorted(self.asked), {}, self.asked
            found = self.engine.generate_each([asked[place] for place in places])
            self.answers.update(zip(places, found, strict=True))
            self.turn.notify_all()


class Seat:
    """The engine of one of several runs (see Engine); its weights are the base's and the run's adapters."""

    def __init__(self, together: Together, place: int) -> None:
        self.together, self.place = together, place

    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> Groups:
        """See Engine."""
        request = Request(prompts, n, temperature, max_new_tokens, seed, self.weights)
        return self.together.sample(self.place, request)

    def load_weights(self, weights: Any) -> None:
        """Sample with the adapters of the policy of these weights, a Merged, from now on."""
        self.weights: Merged = weights

    def rest(self) -> None:
        """Others may need what it has."""
