"""`dopr train`: one run without the workflow, its resume, and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from dopr.cli import main
from project import ROOT

SMALL = {
    "data": {"questions": 6, "validation_questions": 6, "pools": {"easy": {"size": 64}}},
    "base": {"warm_start": {"skill_steps": 30, "habit_steps": 10, "gate_accuracy": 0.0}},
    "recipes": {"grpo": {"prompts_per_step": 2, "group_size": 4, "steps": 4}},
    "checkpoint_every": 2,
    "complexity": {"pools": []},
}


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    (tmp_path / "small.yaml").write_text(yaml.safe_dump(SMALL))
    monkeypatch.chdir(tmp_path)
    return ["train", "small.yaml", "--config", str(ROOT / "config.yaml"), "--output", "run"]


@pytest.mark.slow
def test_a_run_has_its_files_and_the_same_command_again_keeps_them(command: list[str], tmp_path: Path) -> None:
    main([*command, "--method", "grpo"])
    folder = tmp_path / "run/train/easy/grpo/0"
    names = {"ledger.parquet", "metrics.csv", "seconds.csv", "hashes.json", "provenance.json", "checkpoints"}
    assert {path.name for path in folder.iterdir()} == names
    before = [(folder / name).read_bytes() for name in ("ledger.parquet", "metrics.csv")]
    main([*command, "--method", "grpo"])
    assert [(folder / name).read_bytes() for name in ("ledger.parquet", "metrics.csv")] == before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (
            ["--method", "dopr_profile"],
            "--method dopr_profile: its selector reads the profile; run the workflow, which makes it",
        ),
        (["--method", "grpo", "--pool", "esay"], "--pool esay: data.pools has easy, hard"),
        (["--method", "gpro"], "method 'gpro' has no recipe; did you mean 'grpo'?"),
    ],
)
def test_what_cannot_be_trained_alone_costs_one_line(
    command: list[str], tmp_path: Path, options: list[str], message: str
) -> None:
    with pytest.raises(SystemExit) as caught:
        main([*command, *options])
    assert caught.value.code == f"error: {message}"
    assert not (tmp_path / "run").exists()
