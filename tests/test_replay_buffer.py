"""Replay: which groups are kept, for how long, and which are drawn."""

from __future__ import annotations

from dataclasses import replace

import torch

from dopr.config.recipe import Reuse
from dopr.runtime.run_state import RunState
from dopr.training.replay_buffer import ReplayBuffer
from dopr.training.update import TrainingSample
from fixture_rollouts import make_rollout


def group(name: str, *advantages: float) -> list[TrainingSample]:
    """A fresh group of the prompt `name`."""
    return [
        TrainingSample(
            make_rollout(name, sample=i, verdict="correct" if advantage > 0 else "wrong"), advantage, fresh=True
        )
        for i, advantage in enumerate(advantages)
    ]


def buffer(groups: int = 2, window: int = 3, seed: int = 0, **options) -> ReplayBuffer:
    return ReplayBuffer(Reuse(groups=groups, window=window, **options), seed)


def filled(seed: int = 0, **options) -> ReplayBuffer:
    """Ten groups, all within the window."""
    replay = buffer(window=10, seed=seed, **options)
    for i in range(10):
        replay.add(group(f"p{i}", 1.0, -0.5, -0.5))
    return replay


def prompts(rows: list[TrainingSample]) -> list[str]:
    return [row.rollout.prompt.id for row in rows]


def test_only_rows_with_a_positive_advantage_are_kept_and_drawn_as_no_longer_fresh():
    replay, rows = buffer(), group("p", 1.5, -0.5, 0.5, -1.5)
    replay.add(rows)
    assert replay.sample(0, 0) == [replace(rows[0], fresh=False), replace(rows[2], fresh=False)]


def test_all_rows_of_an_informative_group_are_kept_when_asked_for():
    replay, rows = buffer(positive_only=False), group("p", 1.5, -0.5, -1.0)
    replay.add(rows)
    assert replay.sample(0, 0) == [replace(row, fresh=False) for row in rows]


def test_a_group_without_signal_is_not_kept():
    for positive_only in (True, False):
        replay = buffer(positive_only=positive_only)
        replay.add(group("p", 0.0, 0.0))
        assert replay.sample(0, 0) == []


def test_the_oldest_group_beyond_the_window_goes_and_groups_without_signal_push_none_out():
    replay = buffer(groups=9, window=3)
    for i in range(5):
        replay.add(group(f"p{i}", 1.0, -1.0))
        replay.add(group("dead", 0.0, 0.0))
    assert sorted(prompts(replay.sample(0, 0))) == ["p2", "p3", "p4"]


def test_a_draw_takes_so_many_groups_each_once_or_all_there_are():
    assert all(len(set(prompts(filled(groups=4).sample(step, 0)))) == 4 for step in range(20))
    assert len(filled(groups=50).sample(0, 0)) == 10
    assert buffer().sample(0, 0) == []


def test_every_group_is_drawn_about_equally_often():
    replay, counts = filled(groups=3), dict.fromkeys((f"p{i}" for i in range(10)), 0)
    for step in range(1000):
        for name in prompts(replay.sample(step, 0)):
            counts[name] += 1
    assert all(240 <= count <= 360 for count in counts.values())  # 300 expected, sd sqrt(1000 * .3 * .7) = 14.5


def test_draws_depend_on_the_seed_the_step_and_the_turn_and_on_nothing_else():
    replay = filled(groups=4)
    first = {(step, turn): replay.sample(step, turn) for step in range(6) for turn in range(6)}
    again = {place: filled(groups=4).sample(*place) for place in reversed(first)}
    assert again == first
    assert len({tuple(prompts(rows)) for rows in first.values()}) > 30
    assert filled(seed=1, groups=4).sample(0, 0) != first[0, 0]


def test_the_state_survives_a_checkpoint(tmp_path):
    replay, restored = filled(groups=4), buffer(groups=4, window=10)
    state = RunState(tmp_path / "state")
    state.folder.mkdir()
    state.save(1, {"replay": replay.state_dict()})
    restored.load_state_dict(state.load()[1]["replay"])
    assert restored.groups == replay.groups
    assert restored.sample(3, 1) == replay.sample(3, 1)
    for each in (replay, restored):
        each.add(group("new", 1.0, -1.0))
    assert restored.sample(4, 0) == replay.sample(4, 0)
    assert isinstance(restored.groups[0][0][0].tokens, tuple)
    assert torch.tensor(restored.groups[0][0][0].logprobs).shape == (3,)
