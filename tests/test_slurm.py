"""The pipeline through its Slurm profile, on a real Slurm of one node: `make test-slurm`."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

import slurm_node
from project import ROOT, Project, edit

PYTHON = ROOT / ".venv-slurm/bin/python"  # apart: with Slurm's plugin but without its daemons, Snakemake waits
TARGETS = ["results/evaluate/easy/grpo/0/completions.parquet", "results/train/easy/random_one/0/ledger.parquet"]
OVERLAYS = ["--configfile", "experiments/smoke.yaml", "gpu.yaml"]
LIMIT = 1200  # seconds: many times what it takes, for a machine with other work
PARTS = ("data", "base", "train", "evaluate")
SETTINGS = """\
hardware: {gpus: 1, mem_mb: 1500, runtime: 10}
seeds: [0]
recipes: {grpo: {steps: 240}}  # many checkpoints before the end
"""

reason = slurm_node.missing() or ("" if PYTHON.is_file() else f"{PYTHON} is not there: make test-slurm makes it")
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(reason), reason=reason)]


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with ExitStack() as stack:
        try:
            stack.enter_context(slurm_node.cluster(tmp_path_factory.mktemp("slurm")))
        except (OSError, subprocess.SubprocessError, slurm_node.NotReadyError) as error:
            pytest.skip(f"Slurm does not start on this machine: {error}")
        yield


def prepare(folder: Path) -> Project:
    """A copy whose training jobs ask for a GPU, and whose profile polls more often than a cluster would like."""
    project = Project.copy(folder)
    (folder / "gpu.yaml").write_text(SETTINGS)
    edit(project, "profiles/slurm/profile.yaml", "before-status-checks: 20", "before-status-checks: 5")
    return project


def submit(project: Project) -> subprocess.Popen[str]:
    """Snakemake with the profile, from the environment that has the executor."""
    path = f"{PYTHON.parent}{os.pathsep}{project.environment['PATH']}"
    snakemake = [PYTHON, "-m", "snakemake", "--workflow-profile", "profiles/slurm"]
    return subprocess.Popen(
        ["timeout", "-k", "10", str(LIMIT), *snakemake, *TARGETS, *OVERLAYS],
        cwd=project.folder,
        env={**project.environment, "PATH": path},
        text=True,
        stdout=(project.folder / "submit.log").open("w"),
        stderr=subprocess.STDOUT,
    )


def described(rule: str) -> list[str]:
    """What Slurm knows of every job of a rule; the executor puts rule and wildcards into the comment."""
    jobs = slurm_node.ask("scontrol", "show", "job").split("\n\n")
    return [job for job in jobs if re.search(rf"Comment=rule_{rule}", job)]


def cancel(job: str) -> None:
    """Cancel a task of an array, by the only name that scancel takes for one, and see it gone."""
    name = "_".join(re.search(rf"{key}=(\d+)", job)[1] for key in ("ArrayJobId", "ArrayTaskId"))  # type: ignore[index]
    slurm_node.ask("scancel", name)
    while "JobState=RUNNING" in slurm_node.ask("scontrol", "show", "job", name):
        time.sleep(0.02)


def test_a_job_cancelled_in_training_is_submitted_again_and_ends_with_the_same_bytes(
    node: None, tmp_path: Path
) -> None:
    local = prepare(tmp_path / "local")
    edit(local, "gpu.yaml", "gpus: 1", "gpus: 0")
    code, output = local.snakemake(*TARGETS, *OVERLAYS)
    assert code == 0, output

    project = prepare(tmp_path / "cluster")
    process = submit(project)
    state = project.folder / "results/state/train/easy/grpo"
    while not list(state.glob("*/step-*")):
        assert process.poll() is None, (project.folder / "submit.log").read_text()
        time.sleep(0.02)
    (job,) = [job for job in described("train") if "JobState=RUNNING" in job]
    cancel(job)
    assert not (project.folder / "results/train/easy/grpo/0/ledger.parquet").exists()
    assert process.wait(timeout=LIMIT + 20) == 0, (project.folder / "submit.log").read_text()

    assert all(
        "gres:gpu:1" in job and "Partition=gpu" in job for job in [*described("train"), *described("evaluate_0")]
    )
    assert all("gpu" not in job for job in described("base"))
    assert "Trying to restart job" in (project.folder / "submit.log").read_text()
    assert project.hashes(*PARTS) == local.hashes(*PARTS)
