"""Stopped in any way, the same command goes on and ends with the same bytes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import pytest

from project import SMOKE, Project, edit, kill, wait_for

pytestmark = pytest.mark.slow
RESULTS = ("data", "base", "profile", "train", "evaluate")
TARGETS = [  # which need a job of every stage that trains or evaluates
    f"results/evaluate/easy/{method}/{seed}/completions.parquet" for method in ("grpo", "one_shot") for seed in (0, 1)
]
RUN = [*TARGETS, *SMOKE]


def checkpoints(project: Project) -> int:
    return len(list((project.folder / "results/state").glob("*/**/step-*")))


def check_same_bytes(project: Project, finished: Project) -> None:
    ours, theirs = project.hashes(*RESULTS), finished.hashes(*RESULTS)
    assert set(TARGETS) <= set(ours)
    assert ours == {path: theirs[path] for path in ours}


@pytest.mark.pipeline
def test_killed_again_and_again_it_ends_with_the_same_bytes(finished: Project, tmp_path: Path) -> None:
    """Snakemake and its jobs are killed in profiling, in training, and while results are written; never unlocked."""
    project = Project.copy(tmp_path)
    for stage in ("profile/easy", "train/easy/grpo", "train/easy/one_shot"):
        process = project.start(*RUN)
        state = project.folder / "results/state" / stage
        wait_for(lambda state=state: bool(list(state.glob("**/step-*"))), process)  # type: ignore[misc]
        kill(process)
    code, output = project.snakemake(*RUN)
    assert code == 0, output
    check_same_bytes(project, finished)


def test_interrupted_with_ctrl_c_it_goes_on(finished: Project, tmp_path: Path) -> None:
    project = Project.copy(tmp_path)
    process = project.start(*RUN)
    wait_for(lambda: checkpoints(project) > 0, process)
    os.killpg(process.pid, signal.SIGINT)  # as a terminal does
    process.communicate(timeout=120)
    assert not (project.folder / "results/tables/main.csv").exists()
    code, output = project.snakemake(*RUN)
    assert code == 0, output
    check_same_bytes(project, finished)


def test_a_run_whose_snakemake_was_killed_is_waited_for_not_doubled(finished: Project, tmp_path: Path) -> None:
    """The orphaned job holds its run; the new one waits, then finds everything done."""
    project = Project.copy(tmp_path)
    process = project.start(*RUN)
    wait_for(lambda: checkpoints(project) > 0, process)
    process.kill()  # Snakemake alone: its jobs live on
    code, output = project.snakemake(*RUN)
    process.communicate()
    assert code == 0, output
    check_same_bytes(project, finished)


def test_a_checkpoint_of_another_configuration_is_refused_before_any_job(tmp_path: Path) -> None:
    project = Project.copy(tmp_path)
    process = project.start(*RUN)
    wait_for(lambda: checkpoints(project) > 0, process)
    kill(process)
    edit(project, "config.yaml", "clip_high: 0.2", "clip_high: 0.3")
    code, output = project.snakemake(*RUN)
    assert code == 1
    assert "this checkpoint was written with recipe.loss.clip_high = 0.2, now it is 0.3" in output
    assert "Traceback" not in output
