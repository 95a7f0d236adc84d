"""Replay of a recorded history: hand-made records with known answers, and the public one."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from dopr.analysis.accuracy_history import AccuracyHistory, read_history
from dopr.cli import main
from dopr.commands.replay import parse, table
from dopr.errors import UserError
from dopr.profiling.simulate import Measured, SelectorSimulation, compare, simulate
from dopr.selection.selector import GroupDecision, RolloutRequest
from test_historical_variance import RECORD, recorded

HISTORY = {"dead": (0.0,) * 4, "even": (0.5,) * 4, "done": (1.0,) * 4}


def replay(steps: int = 400, count: int = 1, group_size: int = 2) -> SelectorSimulation:
    return SelectorSimulation(AccuracyHistory(HISTORY, steps), steps, HISTORY, count, group_size)


class Holding:
    """Screens `a` with one rollout, completes it at the next step, and trains on it at the one after."""

    def request(self, step, held):
        return (
            [RolloutRequest("a", 1)]
            if step % 3 == 0
            else [RolloutRequest("a", 2, held[0])]
            if step % 3 == 1
            else [RolloutRequest("b", 1)]
        )

    def observe(self, step, outcome):
        self.last = (step, outcome.prompt, outcome.rewards)

    def decide(self, step, groups):
        return GroupDecision((), (groups[0],)) if step % 3 < 2 else GroupDecision((groups[0],))


def test_held_groups_are_carried_on_and_grow():
    selector = Holding()
    played = list(simulate(selector, range(3), lambda step, request: (float(step),) * request.rollouts))
    assert [[(group.prompt, group.rewards) for group in step.groups] for step in played] == [
        [("a", (0.0,))],
        [("a", (0.0, 1.0, 1.0))],
        [("a", (0.0, 1.0, 1.0)), ("b", (2.0,))],
    ]
    assert selector.last == (2, "b", (2.0,))


def test_a_prompt_without_signal_and_one_with_by_hand():
    """Groups of two: half of those at 1/2 differ. The best fixed choice is `even`, with a share of 1/2."""
    assert replay().best == 0.5
    dead = replay().run("fixed", {"prompts": ["dead", "done"]}, seed=0)
    assert dead == {"rollouts": 800, "informative": 0, "distinct": 2, "regret": 0.5, "updates": 0, "profile": 0}
    even = replay().run("fixed", {"prompts": ["even"]}, seed=0)
    assert abs(even["informative"] - 0.5) < 4 * (0.25 / 400) ** 0.5
    assert even["regret"] == 0.5 - even["informative"]
    assert even["updates"] == even["informative"]


def test_the_best_fixed_choice_of_several_and_of_more_than_there_are():
    assert replay(count=2).best == 0.25  # even, and one of the others
    assert replay(count=9).best == pytest.approx(0.5 / 3)


def test_screening_selectors_are_charged_for_what_they_discard():
    """Two of three groups never differ, half of the third do: a sixth of all is trained on, a group at a time."""
    dapo = replay(steps=6000).run("dapo", {}, seed=1)
    assert dapo["rollouts"] == 12000
    assert abs(dapo["informative"] - 1 / 6) < 4 * (5 / 36 / 6000) ** 0.5


def test_the_rollouts_of_the_profile_are_counted_for_those_that_read_it():
    assert replay(steps=5).run("one_shot", {}, seed=0)["profile"] == 12 * 2
    assert replay(steps=5).run("dopr", {"prior_rollouts": 0, "candidates": 2}, seed=0)["profile"] == 0


def test_means_and_intervals_over_seeds():
    selectors = {"x": ("random_one", {}), "y": ("fixed", {"prompts": ["dead"]})}
    rows = compare(replay(steps=50), selectors, seeds=5)
    (x,) = (row for row in rows if (row.selector, row.measure) == ("x", "informative"))
    by_seed = [replay(steps=50).run("random_one", {}, seed)["informative"] for seed in range(5)]
    assert x.mean == pytest.approx(sum(by_seed) / 5)
    assert min(by_seed) <= x.low < x.mean < x.high <= max(by_seed)
    assert rows == compare(replay(steps=50), selectors, seeds=5)


@recorded
def test_the_public_record_has_as_many_dead_groups_as_published():
    """In the record 49 % of visits are uninformative; a selector with one pass over it to start from finds more."""
    history = read_history(RECORD)
    first = {prompt: accuracies[:1] for prompt, accuracies in history.items()}
    public = SelectorSimulation(AccuracyHistory(history, 500), 500, first)
    rows = compare(public, {"random": ("random_one", {}), "dopr": ("dopr", {"exploration": 0.1})}, seeds=4)
    shares = {row.selector: row.mean for row in rows if row.measure == "informative"}
    assert shares["random"] == pytest.approx(0.49, abs=0.03)
    assert shares["dopr"] > 0.7


# --- the command ---


def test_options_of_a_selector_are_read_from_its_text():
    assert parse("dopr") == ("dopr", {})
    text = "dopr:candidates=all,exploration=0.5,pipelined=true,entropy=[0.5,2]"
    assert parse(text) == (
        "dopr",
        {"candidates": "all", "exploration": 0.5, "pipelined": True, "entropy": (0.5, 2.0)},
    )
    assert parse('fixed:prompts=["a","b"]') == ("fixed", {"prompts": ["a", "b"]})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dorp", "--selector dorp: selector 'dorp' does not exist"),
        ("dopr:windw=2", "has no option 'windw'; did you mean 'window'"),
        ("dopr:window=0", "options.window: 0 is refused"),
        ("dopr:candidates=some", "options.candidates: 'some' is refused"),
    ],
)
def test_a_selector_that_cannot_be_is_one_line(text, message):
    with pytest.raises(UserError, match=message):
        parse(text)


def test_the_table_shows_shares_in_percent_and_intervals_where_seeds_differ():
    rollouts = Measured("dopr", "rollouts", 4000.0, 4000.0, 4000.0)
    assert table([rollouts, Measured("dopr", "informative", 0.5, 0.4, 0.6)]).splitlines() == [
        "| selector | rollouts | informative, % |",
        "|---|---:|---:|",
        "| dopr | 4000 | 50.0 [40.0, 60.0] |",
    ]


def test_the_command_prints_and_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    history, output = tmp_path / "history.json", tmp_path / "out" / "replay.csv"
    history.write_text('{"a": [0.5, 0.5], "b": [0, 0]}')
    options = ["--steps", "20", "--seeds", "2", "--group-size", "4", "--output", str(output)]
    main(["replay", str(history), "--selector", "uniform", "dopr:candidates=2", *options])
    printed = capsys.readouterr().out
    assert "| uniform | 80 |" in printed
    assert "does not react to what is chosen" in printed
    assert "2 prompts, 20 steps, 2 seeds" in printed
    frame = pd.read_csv(output)
    assert set(frame["selector"]) == {"uniform", "dopr:candidates=2"}
    assert frame.loc[frame["measure"] == "profile", "mean"].tolist() == [0, 8]


def test_the_command_names_a_missing_history(tmp_path: Path):
    with pytest.raises(SystemExit, match=r"error: .*nothing\.json: no such file"):
        main(["replay", str(tmp_path / "nothing.json")])
