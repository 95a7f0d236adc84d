"""The log of rewards of a selector in another trainer: after a resume, a start anew, or a kill."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from dopr.analysis.accuracy_history import read_history
from dopr.files import DataError
from dopr.integrations.rewards_log import RewardsLog, read_groups
from dopr.selection.selector import GroupResult

LINE = '{"step": 0, "prompt": "a", "rewards": [1.0, 0.0]}\n'


def steps(path: Path) -> list[tuple[int, str]]:
    return [(logged.step, logged.group.prompt) for logged in read_groups(path)]


def test_a_line_is_a_group(tmp_path: Path) -> None:
    path = tmp_path / "new" / "rewards.jsonl"
    RewardsLog(path).append(0, [GroupResult("a", (1.0, 0.0)), GroupResult("b", (0.5,), entropy=1.5)])
    assert path.read_text() == LINE + '{"step": 0, "prompt": "b", "rewards": [0.5], "entropy": 1.5}\n'
    first, second = (logged.group for logged in read_groups(path))
    assert (first.rewards, second.rewards, second.entropy) == ((1.0, 0.0), (0.5,), 1.5)
    assert math.isnan(first.entropy)


def test_a_run_that_does_steps_again_replaces_them(tmp_path: Path) -> None:
    path, first = tmp_path / "rewards.jsonl", RewardsLog(tmp_path / "rewards.jsonl")
    for step in range(4):
        first.append(step, [GroupResult(f"old{step}", (1.0,))])
    resumed = RewardsLog(path)
    for step in (2, 3):
        resumed.append(step, [GroupResult(f"new{step}", (0.0,))])
    assert steps(path) == [(0, "old0"), (1, "old1"), (2, "new2"), (3, "new3")]
    RewardsLog(path).append(0, [GroupResult("anew", (0.0,))])
    assert steps(path) == [(0, "anew")]


def test_a_line_cut_off_by_a_kill_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "rewards.jsonl"
    path.write_text(LINE + LINE[:20])
    assert steps(path) == [(0, "a")]
    RewardsLog(path).append(1, [GroupResult("b", (1.0,))])
    assert steps(path) == [(0, "a"), (1, "b")]


def test_a_log_is_a_history(tmp_path: Path) -> None:
    path = tmp_path / "rewards.jsonl"
    path.write_text(LINE + LINE.replace('"a"', '"b"') + LINE.replace("0.0]", "1.0]"))
    assert read_history(path) == {"a": (0.5, 1.0), "b": (0.5,)}


@pytest.mark.parametrize("line", ["{}", "[1]", '{"step": 0, "prompt": "a", "rewards": []}', '{"step": 0', "x"])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    path = tmp_path / "rewards.jsonl"
    path.write_text(LINE + line + "\n")
    with pytest.raises(DataError, match=r"rewards.jsonl: line 2 is not a group of rewards \(.*\); remove it") as caught:
        read_groups(path)
    assert "\n" not in str(caught.value)
