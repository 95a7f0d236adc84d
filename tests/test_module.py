"""The workflow in another folder, and as a module of another workflow."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from project import ROOT, Project, rules_in

pytestmark = pytest.mark.slow


@pytest.fixture
def other(tmp_path: Path) -> Project:
    """The example in a folder with a space; the path of the Snakefile is edited."""
    folder = Path(shutil.copytree(ROOT / "examples/module", tmp_path / "other workflow"))
    text = (folder / "Snakefile").read_text()
    assert "../../workflow/Snakefile" in text
    (folder / "Snakefile").write_text(text.replace("../../workflow/Snakefile", str(ROOT / "workflow/Snakefile")))
    return Project(folder)


def test_another_workflow_runs_it_and_goes_on_from_its_table(other: Project) -> None:
    code, output = other.snakemake("--cores", "2")
    assert code == 0, output
    pool, method, accuracy = (other.folder / "best.txt").read_text().strip().split(",")
    assert pool == "easy"
    assert method in ("base", "grpo", "random_one")
    assert 0 <= float(accuracy) <= 1
    assert "Nothing to be done" in other.snakemake("--cores", "1")[1]


@pytest.mark.pipeline
def test_a_mistake_in_the_modules_config_is_one_line(other: Project) -> None:
    path = other.folder / "config.yaml"
    path.write_text(path.read_text().replace("seeds:", "sedes:"))
    code, output = other.snakemake("-n")
    assert code == 1
    assert "error: config of the module: sedes: unknown key; did you mean 'seeds'?" in output


def test_without_dopr_s_onstart_a_job_says_that_its_configuration_is_missing(other: Project) -> None:
    path = other.folder / "Snakefile"
    path.write_text(path.read_text().replace("dopr.onstart()", "pass"))
    code, output = other.snakemake("--cores", "1", "results/data/test.jsonl")
    assert code == 1
    assert "call dopr.onstart() in onstart" in output


@pytest.mark.pipeline
def test_another_folder_takes_a_configuration_and_keeps_results_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "mine.yaml").write_text("seeds: [3]\nmethods: [grpo]\n")
    here = Project(tmp_path)
    snakefile = str(ROOT / "workflow/Snakefile")
    code, output = here.snakemake("-n", "--snakefile", snakefile, "--configfile", "mine.yaml")
    assert code == 0, output
    assert "train" in rules_in(output.replace("train_3", "train"))
    elsewhere = ("--snakefile", snakefile, "--directory", str(tmp_path / "there"))
    code, output = here.snakemake("--cores", "1", "results/data/test.jsonl", *elsewhere)
    assert code == 0, output
    assert (tmp_path / "there/results/data/test.jsonl").is_file()
    assert not (tmp_path / "results").exists()
