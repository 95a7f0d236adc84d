"""Simulation of a selector on a recorded accuracy history, without a model.

At each step the rewards of a chosen prompt are drawn with its recorded accuracy at that point of the recorded run. The
simulation shows how well a selector finds informative prompts. It does not show learning: the recorded run chose its
prompts in another way, and its accuracies do not react to the choices of the selector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from dopr.analysis.accuracy_history import AccuracyHistory
from dopr.analysis.informative_share import informative_share
from dopr.analysis.statistics import interval, redraw_weights
from dopr.records import derive_seed
from dopr.selection.selector import (
    GroupDecision,
    GroupResult,
    PromptSelector,
    RolloutRequest,
    SelectorError,
    Setup,
    make_selector,
    uses_history,
)

CAVEAT = "The history does not react to what is chosen: this shows how informative prompts are found, not learning."
REPLICATES = 1000  # of the bootstrap

Draw = Callable[[int, RolloutRequest], tuple[float, ...]]  # (step, request) -> rewards


@dataclass(frozen=True)
class SimulatedStep:
    """One step: the requests, the held and the new groups, and the decision about them."""

    requests: list[RolloutRequest]
    groups: list[GroupResult]
    decision: GroupDecision


def simulate(
    selector: PromptSelector, steps: range, draw: Draw, held: Sequence[GroupResult] = ()
) -> Iterator[SimulatedStep]:
    """Run a selector as training does, with rewards from `draw`.

    Args:
        selector: The selector to run.
        steps: The steps to simulate.
        draw: (step, request) -> rewards of the requested rollouts.
        held: The groups that the step before the first one held.
    """
    held = list(held)
    for step in steps:
        requests = selector.request(step, held)
        held_groups, new_groups = {group: group for group in held}, []
        for request in requests:
            new = GroupResult(request.prompt, draw(step, request))
            selector.observe(step, new)
            if request.group is None:
                new_groups.append(new)
            else:
                rewards = held_groups[request.group].rewards + new.rewards
                held_groups[request.group] = replace(new, rewards=rewards)
        groups = [*held_groups.values(), *new_groups]
        decision = selector.decide(step, groups)
        held = [group for group in groups if group in decision.hold]
        yield SimulatedStep(requests, groups, decision)


@dataclass(frozen=True)
class SelectorSimulation:
    """The settings of a simulation.

    Args:
        record: The success probabilities to draw rewards from.
        steps: Steps to simulate.
        history: The accuracy history given to selectors that read one.
        count: Prompts to choose at each step.
        group_size: Rollouts of each chosen prompt.
    """

    record: AccuracyHistory
    steps: int
    history: Mapping[str, tuple[float, ...]]
    count: int = 1
    group_size: int = 8

    def run(self, name: str, options: dict[str, Any], seed: int) -> dict[str, float]:
        """Simulate one selector with one seed and return its measures.

        Returns:
            rollouts: Rollouts generated.
            informative: Informative groups trained on, divided by rollouts / group_size.
            distinct: Prompts that got rollouts.
            regret: `best` - `informative`.
            updates: Share of steps with an informative group to train on.
            profile: Rollouts of the history, if the selector reads it; otherwise 0.

        Raises:
            SelectorError: The selector requested no prompt, or one that the history has not.
        """
        setup = Setup(self.record.pool, seed, self.count, self.group_size, dict(self.history))
        selector = make_selector(name, setup, options)
        rng, known = np.random.default_rng(derive_seed("replay", seed)), set(self.record.pool)

        def draw(step: int, request: RolloutRequest) -> tuple[float, ...]:
            if request.prompt not in known:
                raise SelectorError(f"selector {name} returned {request.prompt!r}, which is no prompt of the history")
            correct = rng.random(request.rollouts) < self.record.probability(request.prompt, step)
            return tuple(correct.astype(float).tolist())

        rollouts, informative, updates = 0, 0, 0
        prompts: set[str] = set()
        for simulated in simulate(selector, range(self.steps), draw):
            if not simulated.requests:
                raise SelectorError(f"selector {name} returned no prompt; it must return at least one")
            rollouts += sum(request.rollouts for request in simulated.requests)
            prompts.update(request.prompt for request in simulated.requests)
            trained_on = sum(group.informative for group in simulated.decision.train)
            informative += trained_on
            updates += trained_on > 0
        share = informative * self.group_size / rollouts
        return {
            "rollouts": float(rollouts),
            "informative": share,
            "distinct": float(len(prompts)),
            "regret": self.best - share,
            "updates": updates / self.steps,
            "profile": float(self._history_rollouts * uses_history(name, options)),
        }

    @property
    def _history_rollouts(self) -> int:
        return self.group_size * sum(map(len, self.history.values()))

    @cached_property
    def best(self) -> float:
        """Return the expected share of informative groups of the best fixed set of prompts, chosen in hindsight."""
        probabilities = (self.record.probabilities(prompt, self.steps) for prompt in self.record.pool)
        sums = np.sort([informative_share(each, self.group_size).sum() for each in probabilities])[-self.count :]
        return float(sums.mean() / self.steps)


@dataclass(frozen=True)
class Measured:
    """A measure of one selector: its mean over seeds and the 95 % bootstrap interval of that mean."""

    selector: str
    measure: str
    mean: float
    low: float
    high: float


def compare(
    simulation: SelectorSimulation, selectors: Mapping[str, tuple[str, dict[str, Any]]], seeds: int
) -> list[Measured]:
    """Simulate selectors with several seeds.

    Args:
        simulation: The settings of the simulation.
        selectors: Display name -> name and options of a selector.
        seeds: The number of seeds, from 0 on.

    Returns:
        Every measure of SelectorSimulation.run for every selector, in order.
    """
    weights = redraw_weights(seeds, REPLICATES, derive_seed("bootstrap", "replay"))
    rows = []
    for label, (name, options) in selectors.items():
        runs = [simulation.run(name, options, seed) for seed in range(seeds)]
        for measure in runs[0]:
            values = np.array([run[measure] for run in runs])
            low, high = interval(weights @ values)
            rows.append(Measured(label, measure, float(values.mean()), float(low), float(high)))
    return rows
