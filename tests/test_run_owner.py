"""A run owns its folder, not the folder's name: whoever finds the folder made anew leaves it alone."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dopr.config.recipe import Recipe
from dopr.config.schema import Config
from dopr.evaluation.job import EvaluationJob, cost_of
from dopr.files import DataError, write_prompts
from dopr.grading.grader import Grader
from dopr.records import Prompt
from dopr.runtime.run_state import CheckpointError, RunState
from dopr.training.job import link_snapshots
from dopr.training.train import train
from dopr.workflow.rule_params import RuleParams
from fixture_run import make_run
from project import Project, edit, wait_for

STEPS = 4
HOLD = """
import sys
from pathlib import Path
from dopr.runtime.run_state import RunState
with RunState(Path(sys.argv[1])).held():
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.fixture
def recipe(config: Config) -> Recipe:
    return config.recipes["random_one"].model_copy(update={"steps": STEPS, "group_size": 2})


@pytest.fixture
def stack() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


def files_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("step", [1, 2, STEPS])  # at 2 and 4 a policy and a checkpoint are saved
def test_a_process_whose_folder_another_run_has_made_anew_ends_and_writes_nothing_there(
    tiny: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader, stack: ExitStack, step: int
) -> None:
    """As after `rm -r` of an orphan's folder and the same command with another configuration."""

    def make_anew() -> None:
        shutil.rmtree(tmp_path / "run")
        state = RunState(tmp_path / "run")
        stack.enter_context(state.held())
        state.claim({"seed": 1}, {}, "stop")

    orphan = make_run(tiny, tmp_path / "run", pool, recipe, grader, step, make_anew)
    with (
        orphan.state.held(),
        pytest.raises(CheckpointError, match=r"run: this folder was deleted while process \d+ ran in it; the process"),
    ):
        train(orphan)
    assert files_in(tmp_path / "run") == ["code.json", "job.json", "lock"]


def test_a_process_whose_folder_was_deleted_does_not_make_it_again(
    tiny: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader
) -> None:
    orphan = make_run(tiny, tmp_path / "run", pool, recipe, grader, 2, lambda: shutil.rmtree(tmp_path / "run"))
    with orphan.state.held(), pytest.raises(CheckpointError):
        train(orphan)
    assert not (tmp_path / "run").exists()


def test_a_process_that_waited_holds_the_folder_that_is_there_in_the_end(tmp_path: Path) -> None:
    """The folder is deleted while a second process waits for the first: it must not hold the deleted lock."""
    folder = tmp_path / "run"
    first, second = (hold(folder), hold(folder))
    assert second.stderr.readline().endswith("another process runs this job; waiting for it\n")
    shutil.rmtree(folder)
    first.kill()
    first.communicate()
    assert second.stdout.readline() == "held\n"
    with (folder / "lock").open("w") as lock, pytest.raises(BlockingIOError):
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    second.communicate(timeout=60)


def hold(folder: Path) -> subprocess.Popen[str]:
    """A process that takes the lock, once the one before has it."""
    command = [sys.executable, "-c", HOLD, str(folder)]
    is_first = not folder.exists()
    pipe = subprocess.PIPE
    process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True)
    if is_first:
        assert process.stdout.readline() == "held\n"
    return process


# --- checkpoints that a run does not know ---


@pytest.fixture
def finished(tiny: Path, tmp_path: Path) -> Path:
    """A run of 16 steps and one rollout a step, with the checkpoint of its last step and one of a step it never had."""
    columns = {name: [1] * 16 for name in ("prompt_tokens", "completion_tokens")}
    (tmp_path / "run").mkdir()
    pq.write_table(pa.table({"step": list(range(16)), **columns}), tmp_path / "run/ledger.parquet")
    for step in (16, 24):
        shutil.copytree(tiny, tmp_path / f"run/checkpoints/step-{step:08d}")
    return tmp_path / "run"


@pytest.fixture
def job(tmp_path: Path, raw: dict, pool: list[Prompt]) -> Iterator[EvaluationJob]:
    raw["data"]["benchmarks"] = {"every": sorted({prompt.family for prompt in pool})}
    raw["base"]["warm_start"]["gate_family"] = raw["data"]["benchmarks"]["every"][0]
    params = RuleParams(Config.parse(raw)).evaluate()
    write_prompts(tmp_path / "questions.jsonl", pool)
    with EvaluationJob("x", params, tmp_path / "questions.jsonl") as job:
        yield job


def test_an_evaluation_refuses_a_checkpoint_after_the_runs_last_step(
    finished: Path, tmp_path: Path, job: EvaluationJob
) -> None:
    with pytest.raises(DataError) as caught:
        job.evaluate_run(finished, 0, tmp_path / "base.parquet", tmp_path / "completions.parquet")
    assert str(caught.value) == (
        f"{finished}/checkpoints/step-00000024: the run ended after step 16 by its ledger.parquet, so this checkpoint "
        "is another run's; delete it"
    )
    assert not (tmp_path / "completions.parquet").exists()


def test_an_evaluation_whose_completions_hold_no_answer_says_so_with_the_option_that_reads_more(
    finished: Path, tmp_path: Path, job: EvaluationJob, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of a model and of a run's checkpoints: a random policy boxes nothing."""
    shutil.rmtree(finished / "checkpoints/step-00000024")
    job.evaluate_model(finished / "checkpoints/step-00000016", tmp_path / "base.parquet")
    job.evaluate_run(finished, 3, tmp_path / "base.parquet", tmp_path / "completions.parquet")
    warnings = [line for line in capsys.readouterr().err.splitlines() if "verify.extraction" in line]
    assert [line.partition(": ")[0] for line in warnings] == ["evaluate x", "evaluate x/3"]
    assert all("set verify.extraction to any, which reads others too" in line for line in warnings)


def test_the_last_checkpoint_costs_the_whole_ledger(finished: Path) -> None:
    spent = cost_of(pq.read_table(finished / "ledger.parquet"), finished / "checkpoints/step-00000016")
    assert (spent.step, spent.rollouts, spent.tokens) == (16, 16, 32)


def test_a_result_has_the_policies_that_its_run_keeps_and_no_others(tmp_path: Path) -> None:
    state = RunState(tmp_path / "state")
    for step in (8, 16, 24):
        state.snapshot(step).mkdir(parents=True)
        (state.snapshot(step) / "model.safetensors").write_bytes(bytes([step]))
    link_snapshots(state, [8, 16], tmp_path / "checkpoints")
    assert files_in(tmp_path / "checkpoints") == ["step-00000008", "step-00000016"]
    assert (tmp_path / "checkpoints/step-00000016/model.safetensors").read_bytes() == bytes([16])
    with pytest.raises(DataError, match=r"snapshots/step-00000012: missing; delete .*/state to train this run again"):
        link_snapshots(state, [8, 12], tmp_path / "others")


# --- as it happens ---


@pytest.mark.slow
def test_an_orphan_of_another_configuration_leaves_the_new_run_alone(tmp_path: Path) -> None:
    """Snakemake alone is killed, the folder is deleted as the message advises, and a shorter run takes its place."""
    project, method = Project.copy(tmp_path), "easy/random_one"
    edit(project, "experiments/smoke.yaml", "random_one: {steps: 16}", "random_one: {steps: 3000}")
    run = [f"results/train/{method}/0/ledger.parquet", "--configfile", "experiments/smoke.yaml"]
    process, state = project.start(*run), project.folder / "results/state/train" / method
    wait_for(lambda: bool(list(state.glob("0/step-*"))), process)
    process.kill()
    edit(project, "experiments/smoke.yaml", "random_one: {steps: 3000}", "random_one: {steps: 8}")
    code, output = project.snakemake(*run)
    assert code == 1
    assert "recipe.steps = 3000, now it is 8; restore the configuration to go on, or delete the folder" in output
    while (state / "0").exists():  # the orphan still writes there
        subprocess.run(["rm", "-rf", state / "0"], check=False)
    code, output = project.snakemake(*run)
    assert code == 0, output
    left, _ = process.communicate(timeout=120)  # the orphan's words, and its end
    assert "this folder was deleted while process" in left
    checkpoints = project.folder / "results/train" / method / "0/checkpoints"
    assert [path.name for path in sorted(checkpoints.glob("step-*"))] == ["step-00000004", "step-00000008"]
