"""What a user sees of a mistake: one line and exit code 1, and a traceback only for our own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from dopr.config.schema import ConfigError
from dopr.errors import UserError, exit_with_one_line
from dopr.files import DataError
from dopr.grading.grader import GraderError
from dopr.runtime.run_state import CheckpointError
from dopr.training.warm_start import QualityError

SCRIPTS = Path(__file__).parents[1] / "scripts"


def fail_with(error: BaseException):
    def main() -> None:
        raise error

    return main


@pytest.mark.parametrize(
    "kind", [UserError, CheckpointError, ConfigError, DataError, GraderError, QualityError, OSError]
)
def test_a_mistake_of_the_user_or_the_system_is_one_line(kind):
    with pytest.raises(SystemExit) as caught:
        exit_with_one_line(fail_with(kind("pool.jsonl: holds no prompts")))
    assert caught.value.code == "error: pool.jsonl: holds no prompts"


@pytest.mark.parametrize("kind", [ValueError, KeyError, FloatingPointError, AssertionError])
def test_a_mistake_of_ours_keeps_its_traceback(kind):
    with pytest.raises(kind, match="ours"):
        exit_with_one_line(fail_with(kind("ours")))


def test_a_program_that_succeeds_just_ends():
    done = []
    exit_with_one_line(lambda: done.append(1))
    assert done == [1]


def test_a_script_given_a_damaged_file_prints_one_line_and_ends_with_1(tmp_path):
    (tmp_path / "damaged.json").write_text("{")
    paths = ["--config", str(tmp_path / "damaged.json"), "--output", str(tmp_path / "data")]
    command = [sys.executable, str(SCRIPTS / "data.py"), *paths]
    found = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert found.returncode == 1
    assert found.stderr.startswith(f"error: {tmp_path / 'damaged.json'}: not valid JSON")
    assert found.stderr.count("\n") == 1
    assert not (tmp_path / "data").exists()


def test_ctrl_c_is_silent_and_told_apart():
    with pytest.raises(SystemExit) as caught:
        exit_with_one_line(fail_with(KeyboardInterrupt()))
    assert caught.value.code == 130
