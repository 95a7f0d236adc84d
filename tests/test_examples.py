"""The examples run: quickly with small constants, and, among the slow tests, exactly as they are."""

from __future__ import annotations

import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from dopr.integrations.rewards_log import read_groups
from project import ROOT

TRL = ROOT / "examples/trl_selection.py"
METHODS = ("random_one", "dopr")
MINIMAL = ROOT / "examples/minimal.py"


@pytest.fixture
def minimal(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The script with so few steps that it learns nothing."""
    spec = importlib.util.spec_from_file_location("minimal", MINIMAL)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    few = {"skill_steps": 2, "habit_steps": 2, "gate_accuracy": 0.0}
    monkeypatch.setattr(module, "WARM_START", module.WARM_START | few)
    for name, value in {"STEPS": 2, "POOL_SIZE": 16, "TEST_SIZE": 4, "TEST_SAMPLES": 1}.items():
        monkeypatch.setattr(module, name, value)
    return module


def rows(output: str) -> dict[str, tuple[int, float, float]]:
    """Method -> rollouts, accuracy before and after in per cent."""
    found = re.findall(r"^(\w+) +(\d+) +([\d.]+)% +([\d.]+)%$", output, re.MULTILINE)
    return {name: (int(rollouts), float(before), float(after)) for name, rollouts, before, after in found}


def test_the_minimal_example_counts_rollouts_and_measures_accuracy(
    minimal: ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    minimal.main()
    found = rows(capsys.readouterr().out)
    assert {name: rollouts for name, (rollouts, _, _) in found.items()} == {"GRPO": 2 * 16 * 8, "DoPR": 2 * 8}
    assert all(0 <= accuracy <= 100 for _, *accuracies in found.values() for accuracy in accuracies)
    assert found["GRPO"][1] == found["DoPR"][1]  # the same start


def test_pool_and_test_questions_of_the_minimal_example_are_distinct(minimal: ModuleType) -> None:
    pool, test = minimal.make_questions()
    assert len({prompt.text for prompt in pool + test}) == 16 + 4


@pytest.mark.slow
def test_the_minimal_example_learns_with_both_methods() -> None:
    done = subprocess.run([sys.executable, str(MINIMAL)], capture_output=True, text=True, check=True)
    found = rows(done.stdout)
    assert {name: rollouts for name, (rollouts, _, _) in found.items()} == {"GRPO": 2560, "DoPR": 160}
    assert all(after > before + 10 for _, before, after in found.values())


@pytest.mark.slow
def test_the_example_in_trl_trains_with_both_selectors(tmp_path: Path) -> None:
    command = [sys.executable, str(TRL), "--seeds", "1", "--steps", "8", "--output", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert re.findall(r"^(\w+) +nan +nan$", done.stdout, re.MULTILINE) == ["random_one", "dopr"]  # so soon
    chosen = [[each.group.prompt for each in read_groups(tmp_path / method / "0/rewards.jsonl")] for method in METHODS]
    assert [len(prompts) for prompts in chosen] == [8, 8]
    assert chosen[0] != chosen[1]
