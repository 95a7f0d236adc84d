"""Selectors that hold and discard groups, in the real training loop: what is counted, and a stop changes nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dopr.config.recipe import Recipe
from dopr.grading.grader import Grader
from dopr.records import Prompt
from dopr.training.train import EngineError, Run, train
from test_train import (  # noqa: F401
    STEPS,
    StoppedError,
    assert_same,
    boxing,
    grader,
    make_run,
    outcome,
    pool,
    recipe,
)

RECIPES = {
    "dapo": {"selector": "dapo", "options": {}, "prompts_per_step": 2},
    "speed": {"selector": "speed", "options": {"screening": 4}, "prompts_per_step": 2},
    "turns": {"selector": "dopr", "options": {"candidates": 3, "screening": 4}},
    "pipelined": {"selector": "dopr", "options": {"candidates": 3, "screening": 4, "pipelined": True}},
}


@pytest.fixture
def start(boxing: Path, pool: list[Prompt], recipe: Recipe, grader: Grader) -> Callable[..., Run]:  # noqa: F811
    """A function that makes a run in a folder by one of RECIPES, which may stop."""

    def started(name: str, folder: Path, stop_at: int = -1) -> Run:
        return make_run(boxing, folder, pool, recipe.model_copy(update=RECIPES[name]), grader, stop_at)

    return started


@pytest.mark.parametrize("name", RECIPES)
def test_stopped_and_resumed_it_ends_the_same_and_every_rollout_is_in_the_ledger(
    start: Callable[..., Run], tmp_path: Path, name: str
) -> None:
    whole = start(name, tmp_path / "whole")
    train(whole)
    with pytest.raises(StoppedError):
        train(start(name, tmp_path / "parts", stop_at=4))
    resumed = start(name, tmp_path / "parts")
    train(resumed)
    expected = outcome(whole, tmp_path / "whole")
    assert_same(expected, outcome(resumed, tmp_path / "parts"))
    _, metrics, ledger = expected
    assert len(ledger) == metrics[-1]["rollouts"]
    assert 0 < metrics[-1]["updates"] <= STEPS
    spent = Counter(row["step"] for row in ledger)
    each = [spent[step] for step in range(STEPS)]
    assert each == {"turns": [12, 12] * 3, "pipelined": [12] + [24] * 5}.get(name, [32] * 6)
    if name == "turns":  # two of three candidates are discarded, and one is held, at every other step
        phases = Counter((row["step"] % 2, row["phase"]) for row in ledger)
        assert phases == {(0, "held"): 12, (0, "discarded"): 24, (1, "train"): 36}


@pytest.mark.parametrize("name", RECIPES)
def test_an_engine_of_other_weights_is_noticed_though_groups_are_held(
    start: Callable[..., Run], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    run = start(name, tmp_path)
    generate = run.engine.generate

    def from_other_weights(*arguments: object) -> object:
        return [
            [replace(sample, logprobs=tuple(value - 0.25 for value in sample.logprobs)) for sample in group]
            for group in generate(*arguments)  # type: ignore[arg-type]
        ]

    monkeypatch.setattr(run.engine, "generate", from_other_weights)
    with pytest.raises(EngineError, match=r"differ by 0.25 in the mean"):
        train(run)
