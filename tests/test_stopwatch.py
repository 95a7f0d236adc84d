"""Measured seconds: summed over attempts, written in a file of their own."""

from __future__ import annotations

import time

import pytest

from dopr.runtime.stopwatch import Stopwatch


def spend(seconds: float) -> None:
    """Keep the processor busy for some seconds of its time."""
    start = time.process_time()
    while time.process_time() - start < seconds:
        pass


def test_a_lap_holds_the_time_spent_so_far():
    watch = Stopwatch()
    spend(0.02)
    watch.lap(1)
    spend(0.01)
    watch.lap(2)
    (first, cpu, wall, _), (second, later, longer, _) = watch.laps
    assert (first, second) == (1, 2)
    assert cpu >= 0.02
    assert wall >= 0.02
    assert later >= cpu + 0.01
    assert longer >= wall + 0.01


def test_sleeping_is_wall_time_and_no_processor_time():
    before = time.process_time()
    watch = Stopwatch()
    time.sleep(0.05)
    watch.lap(1)
    assert watch.laps[0][2] >= 0.05
    assert watch.laps[0][1] <= time.process_time() - before


def test_a_later_attempt_counts_on_and_leaves_out_the_time_between():
    watch = Stopwatch()
    spend(0.05)
    watch.load_state_dict({"laps": [[10, 1.5, 2.5, 0.0]]})
    start = time.process_time()
    watch.lap(11)
    step, cpu, wall, _ = watch.laps[-1]
    assert step == 11
    assert 1.5 <= cpu <= 1.5 + time.process_time() - start + 0.01  # the 0.05 seconds before are left out
    assert wall >= 2.5


def test_a_gpu_counts_while_it_is_held():
    watch = Stopwatch(gpus=0.25)  # one that four jobs share
    watch.load_state_dict({"laps": [[10, 1.5, 2.5, 20.0]]})  # eight of them, before
    time.sleep(0.02)
    watch.lap(11)
    _, _, wall, gpu = watch.laps[-1]
    assert gpu - 20.0 == pytest.approx((wall - 2.5) / 4)
    assert wall >= 2.52


def test_the_state_survives():
    watch, again = Stopwatch(), Stopwatch()
    watch.lap(1)
    again.load_state_dict(watch.state_dict())
    assert again.laps == watch.laps


def test_the_time_left_is_at_the_pace_so_far():
    watch = Stopwatch()
    watch.load_state_dict({"laps": [[5, 1.0, 1.0, 0.0], [10, 1.5, 2.0, 0.0]]})
    assert watch.seconds_left(30) == pytest.approx(4.0)  # 2 seconds for 10 steps; 20 are left
    assert watch.seconds_left(10) == 0


def test_the_file_has_a_row_a_lap(tmp_path):
    watch = Stopwatch()
    watch.load_state_dict({"laps": [[1, 0.25, 0.5, 2.0], [2, 0.33333333, 1.0, 4.0]]})
    watch.write(tmp_path / "seconds.csv")
    expected = "step,cpu_seconds,wall_seconds,gpu_seconds\n1,0.2500,0.5000,2.0000\n2,0.3333,1.0000,4.0000\n"
    assert (tmp_path / "seconds.csv").read_text() == expected
