"""The whole pipeline on the reduced configuration, run as its user runs it."""

from __future__ import annotations

import re
from collections import Counter
from importlib.util import find_spec
from pathlib import Path

import pandas as pd
import pyarrow.parquet as pq
import pytest

from dopr.workflow.experiment import LOCK
from project import SMOKE, Project, edit, kill, rules_in, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.pipeline]


def test_a_second_run_has_nothing_to_do(finished: Project) -> None:
    code, output = finished.snakemake(*SMOKE)
    assert code == 0
    assert "Nothing to be done" in output


def test_finished_runs_of_this_code_are_not_said_to_be_of_another(finished: Project) -> None:
    code, output = finished.snakemake("-n", *SMOKE, "--config", "on_code_change=stop")
    assert code == 0, output
    assert "kept: " not in output


def test_every_figure_and_table_is_there_with_its_numbers(finished: Project) -> None:
    figures = finished.folder / "results/figures"
    names = {path.stem for path in figures.glob("*.png")}
    assert {"accuracy_vs_rollouts", "accuracy_vs_tokens", "accuracy_vs_cpu_seconds", "training", "complexity"} <= names
    assert {"selection_easy", "profile_easy", "informative", "responses", "acquisition"} <= names
    assert (figures / "published/accuracy.png").is_file()
    for name in names:
        assert (figures / f"{name}.pdf").read_bytes().startswith(b"%PDF")
        assert (figures / f"{name}.csv").is_file() or (figures / f"{name}.seconds.csv").is_file()
    for table in ("main", "targets", "credit", "benchmarks", "bounds", "published", "conflicts", "claims_seconds"):
        for suffix in ("csv", "md", "tex", "html"):
            assert (finished.folder / f"results/tables/{table}.{suffix}").stat().st_size > 0


def test_tables_and_figures_of_the_same_results_are_the_same_bytes(edited: Project, finished: Project) -> None:
    wanted = ["results/tables/main.csv", "results/tables/bounds.csv"]
    wanted += [f"results/figures/{name}.png" for name in ("training", "complexity", "accuracy_vs_rollouts")]
    for path in wanted:
        (edited.folder / path).unlink()
    code, output = edited.snakemake(*wanted, *SMOKE)
    assert code == 0, output
    ours, theirs = edited.hashes("tables", "figures"), finished.hashes("tables", "figures")
    assert set(wanted) <= set(ours)
    assert ours == theirs


def test_the_ledger_accounts_for_every_step(finished: Project) -> None:
    run = finished.folder / "results/train/easy/grpo/0"
    ledger, metrics = pq.read_table(run / "ledger.parquet").to_pandas(), pd.read_csv(run / "metrics.csv")
    assert len(ledger) == 8 * 4 * 4  # steps x prompts x group
    assert Counter(ledger["step"]) == dict.fromkeys(range(8), 16)
    assert metrics["rollouts"].iloc[-1] == len(ledger)
    assert metrics["tokens"].iloc[-1] == ledger["prompt_tokens"].sum() + ledger["completion_tokens"].sum()
    assert metrics["reward"].mean() == pytest.approx(ledger["reward"].mean())
    assert (metrics["logprob_gap"] < 1e-4).all()


def test_working_state_is_swept_when_all_is_done(finished: Project) -> None:
    assert not list((finished.folder / "results/state").rglob("job.json"))


def test_the_report_holds_every_figure_and_table(finished: Project, tmp_path: Path) -> None:
    code, output = finished.snakemake(*SMOKE, "--report", str(tmp_path / "report.html"))
    assert code == 0, output
    page = (tmp_path / "report.html").read_text()
    for name in ("accuracy_vs_rollouts.png", "selection_easy.png", "complexity.png", "main.html", "credit.html"):
        assert name in page


@pytest.mark.parametrize(
    ("name", "added", "rerun", "untouched"),
    [
        ("figures/profile.py", "EXTRA = 1", {"profile_figure"}, {"train", "tables", "curves"}),
        ("selection/random_one.py", "EXTRA = 1", {"train", "evaluate"}, {"profile", "base"}),
        ("selection/max_variance.py", "EXTRA = 1", set(), {"train", "evaluate"}),
        ("training/train.py", "EXTRA = 1", {"profile", "train"}, {"base", "data"}),
        ("evaluation/evaluate.py", "EXTRA = 1", {"evaluate"}, {"train", "profile"}),
        ("training/train.py", "# A comment.", set(), {"train", "profile"}),
    ],
)
def test_an_edit_reruns_the_stages_that_use_it_and_no_other(
    edited: Project, name: str, added: str, rerun: set[str], untouched: set[str]
) -> None:
    path = edited.folder / "src/dopr" / name
    path.write_text(f"{path.read_text()}\n{added}\n")
    planned = edited.planned(*SMOKE)
    assert rerun <= planned
    assert not untouched & planned


@pytest.mark.parametrize("policy", ["stop", "continue"])
def test_finished_runs_of_other_code_are_kept_where_they_must_not_be_lost(edited: Project, policy: str) -> None:
    path = edited.folder / "src/dopr/training/train.py"
    path.write_text(f"{path.read_text()}\nEXTRA = 1\n")
    code, output = edited.snakemake("-n", "--quiet", "progress", *SMOKE, "--config", f"on_code_change={policy}")
    assert code == 0, output
    assert rules_in(output) <= {"code"}
    assert re.search(
        r"^kept: 16 finished runs of other code, such as results/train/easy/grpo/0; ", output, re.MULTILINE
    )


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("src/dopr/selection/dopr.py", "Field(ge=0)] = 0.5", "Field(ge=0)] = 0.6"),
        ("config.yaml", "exploration: 0.1", "exploration: 0.2"),
    ],
)
def test_an_edit_of_a_selector_or_its_options_retrains_its_methods_only(
    edited: Project, name: str, old: str, new: str
) -> None:
    edit(edited, name, old, new)
    code, output = edited.snakemake("-n", "--quiet", "progress", *SMOKE)
    assert code == 0, output
    assert set(re.findall(r"output: results/train/easy/(\w+)/", output)) == {"dopr", "dopr_reuse"}


@pytest.mark.parametrize(
    ("overlay", "message"),
    [
        ("trian: {}", "trian: unknown key; did you mean 'train'?"),
        ("recipes: {dopr: {learning_rat: 1}}", "recipes.dopr.learning_rat: unknown key; did you mean 'learning_rate'?"),
        ("rollout: {temperature: -1}", "rollout.temperature: -1 is refused"),
        ("methods: [dorp]", "methods: 'dorp' is not in recipes; did you mean 'dopr'?"),
        ("recipes: {mine: {selector: clever, steps: 3}}", "selector 'clever' does not exist"),
        ("base: {model: /nowhere/model}", "/nowhere/model is no model folder: config.json is missing"),
    ],
)
def test_bad_input_costs_one_clear_line(finished: Project, tmp_path: Path, overlay: str, message: str) -> None:
    (tmp_path / "bad.yaml").write_text(overlay + "\n")
    code, output = finished.snakemake("--configfile", "experiments/smoke.yaml", str(tmp_path / "bad.yaml"), "-n")
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert code == 1
    assert len(errors) == 1, output
    assert message in errors[0]
    assert "Traceback" not in output


def test_a_dry_run_writes_nothing(tmp_path: Path) -> None:
    project = Project.copy(tmp_path)
    assert "train" in project.planned(*SMOKE)
    assert [path.name for path in (project.folder / "results").iterdir()] == ["README.md"]
    assert not (project.folder / LOCK).exists()


def test_a_folder_has_one_run_at_a_time(tmp_path: Path) -> None:
    project = Project.copy(tmp_path)
    first = project.start(*SMOKE)
    wait_for((project.folder / LOCK).is_file, first)
    project.planned(*SMOKE)
    code, output = project.snakemake(*SMOKE)
    kill(first)
    assert code == 1
    assert "error: another Snakemake runs in this folder: wait for it, or stop it" in output


@pytest.mark.skipif(find_spec("vllm") is not None, reason="vllm is installed")
def test_without_vllm_no_job_is_started(tmp_path: Path) -> None:
    project = Project.copy(tmp_path)
    code, output = project.snakemake("--configfile", "experiments/gpu1.yaml")
    assert code == 1
    assert "error: rollout.engine: vllm is not installed here: pip install --editable '.[vllm]' in the clone" in output
    assert "Traceback" not in output
    assert [path.name for path in (project.folder / "results").iterdir()] == ["README.md"]


def test_a_damaged_pool_is_named_with_its_row(edited: Project) -> None:
    pool = edited.folder / "results/data/easy.jsonl"
    pool.write_text(pool.read_text().replace('"id"', '"identity"', 1))
    code, output = edited.snakemake(*SMOKE, "--forcerun", "profile", "--until", "profile")
    assert code == 1
    assert "results/data/easy.jsonl: row 1 is not a prompt" in output
    assert "Traceback" not in output
