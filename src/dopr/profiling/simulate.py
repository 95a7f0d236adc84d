"""Any selector against a recorded reward history, with no model.

At each step the rewards of a chosen prompt are drawn from its recorded accuracy at that point of the recorded run. So
a replay shows how a selector finds prompts with signal, cheaply and many times over. It does not show learning: the
record comes from another way of training, and does not react to what is chosen here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from dopr.analysis.statistics import interval, redraw_weights
from dopr.profiling.accuracy_history import AccuracyHistory
from dopr.records import derive_seed
from dopr.selection.selector import (
    GroupDecision,
    GroupResult,
    PromptSelector,
    RolloutRequest,
    Setup,
    make_selector,
    uses_history,
)

CAVEAT = "The record does not react to what is chosen: a replay shows how prompts with signal are found, not learning."

REPLICATES = 1000

Draw = Callable[[int, RolloutRequest], tuple[float, ...]]  # (step, request) -> rewards


@dataclass(frozen=True)
class SimulatedStep:
    """One step: what was requested, the groups at hand afterwards, and what became of them."""

    requests: list[RolloutRequest]
    groups: list[GroupResult]
    decision: GroupDecision


def simulate(
    selector: PromptSelector, steps: range, draw: Draw, held: Sequence[GroupResult] = ()
) -> Iterator[SimulatedStep]:
    """Drive a selector as training does, with rewards from `draw`; `held` are groups that the step before held."""
    held = list(held)
    for step in steps:
        requests = selector.request(step, held)
        grown, fresh = {group: group for group in held}, []
        for request in requests:
            new = GroupResult(request.prompt, draw(step, request))
            selector.observe(step, new)
            if request.group is None:
                fresh.append(new)
            else:
                grown[request.group] = replace(new, rewards=grown[request.group].rewards + new.rewards)
        groups = [*grown.values(), *fresh]
        decision = selector.decide(step, groups)
        held = [group for group in groups if group in decision.hold]
        yield SimulatedStep(requests, groups, decision)


@dataclass(frozen=True)
class SelectorSimulation:
    """What is replayed. history: what selectors that read a profile are given."""

    record: AccuracyHistory
    steps: int
    history: Mapping[str, tuple[float, ...]]
    count: int = 1
    group_size: int = 8

    def run(self, name: str, options: dict[str, Any], seed: int) -> dict[str, float]:
        """The measures of one selector with one seed.

        rollouts: generated in all. informative: informative groups trained on, for each group's worth of rollouts
        generated. distinct: prompts that got rollouts. regret: `best` less `informative`. updates: share of steps with
        an informative group to train on. profile: rollouts behind the history, if the selector reads it.
        """
        setup = Setup(self.record.pool, seed, self.count, self.group_size, dict(self.history))
        selector = make_selector(name, setup, options)
        rng = np.random.default_rng(derive_seed("replay", seed))

        def draw(step: int, request: RolloutRequest) -> tuple[float, ...]:
            hits = rng.random(request.rollouts) < self.record.probability(request.prompt, step)
            return tuple(hits.astype(float).tolist())

        rollouts, informative, updates = 0, 0, 0
        prompts: set[str] = set()
        for played in simulate(selector, range(self.steps), draw):
            rollouts += sum(request.rollouts for request in played.requests)
            prompts.update(request.prompt for request in played.requests)
            trained_on = sum(group.informative for group in played.decision.train)
            informative += trained_on
            updates += trained_on > 0
        share = informative * self.group_size / rollouts
        return {
            "rollouts": float(rollouts),
            "informative": share,
            "distinct": float(len(prompts)),
            "regret": self.best - share,
            "updates": updates / self.steps,
            "profile": float(self._profiled * uses_history(name, options)),
        }

    @property
    def _profiled(self) -> int:
        return self.group_size * sum(map(len, self.history.values()))

    @cached_property
    def best(self) -> float:
        """Expected share of informative groups of the best fixed choice of `count` prompts, known only afterwards."""
        sums = np.sort(self.record.informative(self.group_size, self.steps))[-self.count :]
        return float(sums.mean() / self.steps)


def compare(
    replay: SelectorSimulation, selectors: Mapping[str, tuple[str, dict[str, Any]]], seeds: int
) -> pd.DataFrame:
    """One row a selector and measure, with its mean over seeds 0, 1, ... and the 95 % bootstrap interval of that mean.

    Args:
        selectors: what to call each -> its name and options.
    """
    weights = redraw_weights(seeds, REPLICATES, derive_seed("bootstrap", "replay"))
    rows = []
    for shown, (name, options) in selectors.items():
        runs = pd.DataFrame([replay.run(name, options, seed) for seed in range(seeds)])
        for measure, values in runs.items():
            low, high = interval(weights @ values.to_numpy())
            rows.append((shown, measure, float(values.mean()), float(low), float(high)))
    return pd.DataFrame(rows, columns=["selector", "measure", "mean", "low", "high"])
