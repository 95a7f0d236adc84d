"""`dopr base-accuracy`: a row by hand, the shipped policy's tasks, and a model that is not there yet."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest
import yaml

from dopr.cli import main
from dopr.commands.base_accuracy import row_of
from dopr.grading.entries import installed_version
from project import ROOT

SMALL = {
    "base": {"model": str(ROOT / "resources/toy_policy")},
    "data": {
        "questions": 3,
        "validation_questions": 3,
        "benchmarks": {"in-domain": ["chain3"], "harder": ["eq2"], "cross-domain": None},
        "pools": {"easy": {"size": 16, "zero_signal": 0}, "hard": None},
    },
    "pools": ["easy"],
    "complexity": {"pools": []},
}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    monkeypatch.chdir(tmp_path)
    return ["base-accuracy", "small.yaml", "--config", str(ROOT / "config.yaml")]


def rows_of(text: str) -> dict[str, list[str]]:
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()[2:]]
    return {name: cells for name, *cells in rows}


def test_a_row_by_hand() -> None:
    completions = [
        {"prompt": "a", "reward": 1.0, "verdict": "correct", "finish": "stop"},
        {"prompt": "a", "reward": 0.0, "verdict": "unparsed", "finish": "length"},
        {"prompt": "b", "reward": 0.5, "verdict": "wrong", "finish": "length"},
        {"prompt": "b", "reward": 0.5, "verdict": "wrong", "finish": "stop"},
    ]
    # 2 of 8 halves correct; a alone has unequal rewards.
    assert row_of("sums", 12.4, pa.Table.from_pylist(completions)) == "| sums | 2 | 12 | 50 | 25 | 50 | 25 | 50 |"


def test_each_task_of_the_configuration_has_a_row(command: list[str], capsys: pytest.CaptureFixture) -> None:
    main([*command, "--questions", "4", "--samples", "6"])
    rows = rows_of(capsys.readouterr().out)
    assert list(rows) == ["chain1", "chain2", "chain3", "eq1", "eq2", "mul2"]  # of the benchmarks and the pool
    assert rows["eq2"][0] == "3"  # test questions alone
    assert rows["chain3"][0] == "4"  # with the pool's, and no more than were asked for
    assert all(row[2] == row[3] for row in rows.values())  # the grader's rewards are 0 and 1
    assert 0 < float(rows["chain3"][2]) < 100  # the policy is made to answer some


@pytest.mark.skipif(installed_version() is None, reason="reasoning-gym is not installed: make reasoning-gym")
def test_tasks_of_reasoning_gym_can_be_named(command: list[str], capsys: pytest.CaptureFixture) -> None:
    main([*command, "--tasks", "simple_equations", "codeio", "--questions", "2", "--samples", "2", "--longest", "120"])
    rows = rows_of(capsys.readouterr().out)
    assert rows["simple_equations"][0] == "2"
    assert rows["codeio"][0] == "0"  # its prompts are longer


def test_a_model_that_is_not_made_yet_costs_one_line_with_the_command(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump({**SMALL, "base": {"model": None}}))
    with pytest.raises(SystemExit) as caught:
        main(command)
    assert caught.value.code is not None
    assert str(caught.value.code).startswith(
        "error: results/base/0: is not made yet: snakemake --cores 1 results/base/0"
    )
