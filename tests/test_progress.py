"""Progress lines: now and then, and always at the end."""

from __future__ import annotations

import io

import pytest

from dopr.runtime import progress
from dopr.runtime.progress import Progress


def lines(steps: int, reports: list[tuple[int, float]]) -> list[str]:
    """What is printed for reports of (step, seconds left)."""
    stream = io.StringIO()
    shown = Progress("easy/dopr/0", steps, stream)
    for step, left in reports:
        shown.report(step, "reward 0.50", left)
    return stream.getvalue().splitlines()


def test_the_last_step_is_always_reported_and_says_so():
    assert lines(3, [(1, 9), (2, 9), (3, 0)]) == ["easy/dopr/0: step 3/3, reward 0.50, done"]


def test_steps_that_follow_at_once_are_not_reported_one_by_one(monkeypatch):
    monkeypatch.setattr(progress, "EVERY_SECONDS", 3600)
    assert lines(1000, [(step, 1) for step in range(1, 1000)]) == []


@pytest.mark.parametrize(
    ("seconds", "clock"), [(0, "0:00"), (9.4, "0:09"), (59.6, "1:00"), (61, "1:01"), (3599, "59:59"), (3661, "1:01:01")]
)
def test_a_line_says_how_far_and_how_long(monkeypatch, seconds, clock):
    monkeypatch.setattr(progress, "EVERY_SECONDS", 0)
    assert lines(8, [(2, seconds)]) == [f"easy/dopr/0: step 2/8, reward 0.50, {clock} left"]
