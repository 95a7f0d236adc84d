"""What an installation without extras gives, in an environment made from scratch: selection and replay."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dopr.cli import COMMANDS
from dopr.selection.selector import built_in
from project import ROOT

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]
NEEDED = {"annotated_types", "numpy", "pydantic", "pydantic_core", "typing_extensions", "typing_inspection"}


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of programs of a new environment with dopr, as a user's pip installs it."""
    folder = tmp_path_factory.mktemp("light")
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, folder)
    shutil.copytree(ROOT / "src", folder / "src", ignore=shutil.ignore_patterns("*.egg-info", "__pycache__"))
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    install = [folder / "env/bin/pip", "install", "--quiet", folder]
    done = subprocess.run(install, capture_output=True, text=True, check=False)
    if "No matching distribution found" in done.stderr:
        pytest.skip("pip finds no packages: no network")
    assert done.returncode == 0, done.stderr
    return folder / "env/bin"


def run(environment: Path, *command: str | Path) -> subprocess.CompletedProcess[str]:
    program, *arguments = command
    own = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    return subprocess.run(
        [environment / program, *arguments], env=own, cwd=environment, capture_output=True, text=True, check=False
    )


def test_every_selector_runs_with_numpy_and_pydantic_alone(environment: Path) -> None:
    done = run(environment, "python", Path(__file__).with_name("light_program.py"))
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    print(f"dopr.selection.selector is imported in {found['seconds']:.2f} s")
    assert found["selectors"] == built_in()
    assert "numpy" in found["packages"]
    assert {name for name in found["packages"] if not name.startswith("_")} <= NEEDED | {"dopr"}


def test_replay_works(environment: Path, tmp_path: Path) -> None:
    history = tmp_path / "history.json"
    history.write_text('{"a": [0.5, 0.5], "b": [0, 0], "c": [1, 0.5]}')
    log = tmp_path / "rewards.jsonl"
    log.write_text('{"step": 0, "prompt": "a", "rewards": [1.0, 0.0]}\n{"step": 1, "prompt": "b", "rewards": [0, 0]}\n')
    for path, prompts in ((history, 3), (log, 2)):
        done = run(environment, "dopr", "replay", path, "--steps", "5", "--seeds", "2", "--output", tmp_path / "a.csv")
        assert done.returncode == 0, done.stderr
        assert f"{prompts} prompts, 5 steps, 2 seeds" in done.stdout
        assert f"\n{done.stdout}".count("\n| ") == len(built_in())  # the head, and all but `fixed`
    assert (tmp_path / "a.csv").read_text().startswith("selector,measure,mean,low,high\n")


def test_help_lists_every_command(environment: Path) -> None:
    done = run(environment, "dopr", "--help")
    assert done.returncode == 0, done.stderr
    assert all(f"\n    {name} " in done.stdout or f"\n    {name}\n" in done.stdout for name in COMMANDS)


@pytest.mark.parametrize(
    ("command", "message"),
    [
        (
            ["plan"],
            "error: dopr plan needs pandas, which is not installed: pip install --editable '.[pipeline]' in the clone",
        ),
        (
            ["log", "."],
            "error: dopr log needs mlflow, which is not installed: pip install --editable '.[pipeline]' in the clone",
        ),
        (
            ["lock"],
            "error: dopr lock needs packaging, which is not installed: pip install --editable '.[dev]' in the clone",
        ),
        (["replay", "a.parquet"], "error: dopr replay needs pyarrow, which is not installed: "),
    ],
)
def test_a_command_that_needs_more_says_in_one_line_which_extra(
    environment: Path, command: list[str], message: str
) -> None:
    done = run(environment, "dopr", *command)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1
