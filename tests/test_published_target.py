"""What `snakemake figures` draws: printed numbers on a fresh clone, our runs too once they are there."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from snakemake.utils import update_config

from dopr.config.schema import Config
from dopr.figures.published import FIGURES
from dopr.workflow.experiment import Experiment
from dopr.workflow.rule_params import RuleParams
from fixture_results import make_results
from project import ROOT, SMOKE, Project, edit

RECORD = Path("one_shot_rlvr/acc_step_500.json")


def experiment(raw: dict, overlay: str | None = None) -> Experiment:
    raw = copy.deepcopy(raw)
    if overlay:
        update_config(raw, yaml.safe_load((ROOT / "experiments/papers" / overlay).read_text()))
    config = Config.parse(raw)
    return Experiment(config, RuleParams(config), Path("none.json"))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("DOPR_DATA", raising=False)
    return tmp_path


def test_nothing_is_comparable_before_a_run_or_with_a_model_of_our_own(shipped: dict, folder: Path) -> None:
    paper = experiment(shipped, "one_shot_rlvr.yaml")
    assert paper.model == "Qwen/Qwen2.5-Math-1.5B"
    assert paper.comparable_on_disk() == []
    assert paper.comparable_runs() == []
    make_results(folder / "results", pools=("easy",), methods=("grpo",), seeds=(0,))
    assert experiment(shipped).model == ""
    assert experiment(shipped).comparable_on_disk() == []


def test_runs_of_a_paper_are_taken_as_they_lie(shipped: dict, folder: Path) -> None:
    make_results(folder / "results", pools=("pi1", "other"), methods=("grpo",), seeds=(0, 1))
    paper = experiment(shipped, "one_shot_rlvr.yaml")
    (path,) = paper.comparable_on_disk()  # the overlay has seed 0 alone, and no such pool
    assert path == str(folder / "results/evaluate/pi1/grpo/0/completions.parquet")
    assert paper.comparable_runs() == ["pi1/grpo/0"]


def test_an_experiment_is_finished_when_every_run_was_evaluated(shipped: dict, folder: Path) -> None:
    raw = {**shipped, "pools": ["easy"], "methods": ["grpo", "dopr"], "seeds": [0]}
    raw["complexity"] = {**shipped["complexity"], "methods": {1: "one_shot", "all": "grpo"}}
    raw["tune"] = {**shipped["tune"], "methods": ["grpo"]}
    small = experiment(raw)
    assert not small.evaluated
    assert not small.profiled
    make_results(folder / "results", methods=("grpo", "dopr"), seeds=(0,))
    assert not small.evaluated  # the run on one prompt is not there
    make_results(folder / "results", methods=("one_shot",), seeds=(0,))
    assert small.evaluated
    assert small.profiled
    (folder / "results/profile/easy/history.json").unlink()
    assert not small.profiled


def test_methods_that_log_their_choice_are_those_of_the_selector_dopr(shipped: dict) -> None:
    assert experiment(shipped).acquiring() == ["dopr", "dopr_profile", "dopr_reuse"]


@pytest.mark.parametrize(("gpus", "seconds"), [(0, "cpu_seconds"), (1, "gpu_seconds")])
def test_accuracy_is_drawn_against_the_seconds_of_what_jobs_ask_for(shipped: dict, gpus: int, seconds: str) -> None:
    raw = {**shipped, "hardware": {**shipped["hardware"], "gpus": gpus}}
    assert experiment(raw).costs == ["rollouts", "tokens", seconds, "wall_seconds"]


def test_the_public_record_is_drawn_where_it_lies(shipped: dict, folder: Path) -> None:
    assert experiment(shipped).record_at_hand() == []
    for place in (folder / "mirror" / RECORD, folder / "results/public" / RECORD.name):
        place.parent.mkdir(parents=True)
        place.write_text("{}")
    assert experiment(shipped).record_at_hand() == ["results/public/acc_step_500.json"]
    mirrored = {**shipped, "data": {**shipped["data"], "mirror": "mirror"}}
    assert experiment(mirrored).record_at_hand() == [f"mirror/{RECORD}"]


# --- as its user runs it ---

pipeline = pytest.mark.slow


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project.copy(tmp_path_factory.mktemp("fresh"))


@pipeline
def test_a_fresh_clone_draws_printed_numbers_without_a_run(fresh: Project) -> None:
    code, output = fresh.snakemake("--cores", "2", "figures")
    assert code == 0, output
    results = fresh.folder / "results"
    drawn = {path.stem for path in (results / "figures/published").glob("*.png")}
    assert drawn - {"record"} == set(FIGURES)
    assert pd.read_csv(results / "published/own_numbers.csv").empty
    assert (results / "tables/published.md").is_file()
    assert not [name for name in ("data", "base", "train", "evaluate", "profile") if (results / name).exists()]
    code, output = fresh.snakemake("--cores", "2", "figures")
    assert "Nothing to be done" in output


@pipeline
def test_a_run_of_a_paper_on_disk_is_drawn_and_not_run_again(fresh: Project, tmp_path: Path) -> None:
    project = Project(shutil.copytree(fresh.folder, tmp_path / "paper"))
    results = make_results(
        project.folder / "results", pools=("pi1",), methods=("grpo",), seeds=(0,), benchmarks=("math500", "aime24")
    )
    code, output = project.snakemake(
        "--cores",
        "2",
        "results/figures/published/accuracy.png",
        "--configfile",
        "experiments/papers/one_shot_rlvr.yaml",
    )
    assert code == 0, output
    frame = pd.read_csv(results / "figures/published/accuracy.csv")
    assert set(frame.loc[frame["status"] == "ours", "training"]) == {"base", "pi1"}
    assert not (results / "data/provenance.json").exists()


@pipeline
def test_a_finished_experiment_is_drawn_too_and_the_rest_is_left(edited: Project) -> None:
    assert edited.planned("--cores", "1", "figures", *SMOKE) == set()  # `all` made them
    edit(edited, "src/dopr/figures/informative.py", '"linewidth": 1}', '"linewidth": 2}')
    assert edited.planned("--cores", "1", "figures", *SMOKE) == {"informative_figure", "figures"}
