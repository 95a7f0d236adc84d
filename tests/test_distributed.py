"""Two processes on gloo train as one does: the same losses and weights to rounding, and checkpoints for each other.

On CPUs alone: NCCL and GPUs have not been tried.
"""

from __future__ import annotations

import re
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from dopr.config.recipe import Critic, Lora, Recipe, Reuse
from dopr.config.schema import Config
from dopr.models import checkpoint_io
from dopr.models.lora import PolicyWeights
from dopr.runtime import distributed
from dopr.training.learner import Learner
from dopr.training.ledger import Ledger
from fixture_comparison import APART, apart, assert_close, numbers
from fixture_learner import MIXED, make_learner, make_loss, roll_out, weights
from fixture_together import generated, together, trained
from project import SMOKE, Project
from test_train import STEPS, boxing, pool, recipe  # noqa: F401

ADAPTERS = Lora(rank=3, alpha=6)  # of which two processes have parts of two sizes
EXACT = [
    {},
    {"micro_batch_tokens": 40, "gradient_checkpointing": True},
    {"loss": make_loss(variant="gspo", kl=0.1, entropy=0.01), "epochs": 2, "minibatches": 3},
    {"loss": make_loss(variant="bnpo"), "reuse": Reuse(groups=2, window=4)},
    {"loss": make_loss(variant="rft"), "minibatches": 8},  # mini-batches of one row, which one process alone has
    {"lora": ADAPTERS, "learning_rate": 0.01, "loss": make_loss(kl=0.1), "critic": Critic(learning_rate=0.01)},
    {"loss": make_loss(kl=0.1, entropy=0.01), "gradient_checkpointing": True},  # logits in pieces
    {"lora": ADAPTERS, "learning_rate": 0.01, "micro_batch_tokens": 40, "gradient_checkpointing": True},
    {"critic": Critic(learning_rate=0.01), "reuse": Reuse(groups=2, window=4)},
]
ROUNDED = [
    {"dtype": "bfloat16", "loss": make_loss(variant="dr_grpo", kl=0.1)},
    {"dtype": "bfloat16", "loss": make_loss(variant="dr_grpo", kl=0.1), "lora": ADAPTERS},
]


def test_one_process_is_given_back_what_it_gives():
    weights = torch.ones(3)
    assert (distributed.world_size(), distributed.rank(), distributed.is_main_process()) == (1, 0, True)
    assert distributed.broadcast_from_main(lambda: 3) == 3
    assert distributed.all_gather([1, 2]) == [[1, 2]]
    assert distributed.rank_share([4, 5, 6]) == ([4, 5, 6], 1.0)
    assert distributed.full_tensor(weights) is weights
    assert distributed.shard_like(weights, weights) is weights
    distributed.on_shutdown(lambda: 1 / 0)
    distributed.SHUTDOWN.close()


def test_only_torchrun_starts_several_processes_whatever_a_cluster_sets(monkeypatch):
    """Without this, one process would wait an hour for another, or fail for want of a RANK."""
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    for name, value in {"WORLD_SIZE": "2", "RANK": "0", "LOCAL_RANK": "0", "MASTER_ADDR": "10.0.0.1"}.items():
        monkeypatch.setenv(name, value)
    assert distributed.env_world_size() == 1
    with distributed.process_group("cpu"):
        assert distributed.world_size() == 1
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "ours")  # torchrun sets it
    assert distributed.env_world_size() == 2


@pytest.mark.parametrize(
    ("rank", "rows", "expected"),
    [(0, [1, 2, 3], ([1, 3], 2.0)), (1, [1, 2, 3], ([2], 2.0)), (0, [7], ([7], 2.0)), (1, [7], ([7], 0.0))],
)
def test_rows_are_shared_out_and_who_has_none_counts_for_nothing(monkeypatch, rank, rows, expected):
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    monkeypatch.setattr(distributed, "rank", lambda: rank)
    assert distributed.rank_share(rows) == expected


def test_of_several_processes_what_was_kept_ends_when_they_part(monkeypatch):
    ended: list[int] = []
    monkeypatch.setattr(distributed, "world_size", lambda: 2)
    distributed.on_shutdown(lambda: ended.append(1))
    distributed.on_shutdown(lambda: ended.append(2))
    assert not ended
    distributed.SHUTDOWN.close()
    distributed.SHUTDOWN.close()
    assert ended == [2, 1]


@pytest.mark.slow
def test_two_processes_learn_what_one_learns_and_restore_each_others_states(tiny: Path, tmp_path: Path):
    groups = roll_out(tiny, checkpoint_io.load(tiny), MIXED)
    job = {"do": "learn", "base": tiny, "groups": groups}
    settings = [*EXACT, *ROUNDED]
    two = together(tmp_path / "two", 2, **job, settings=settings, steps=[0, 1, 2], logits=1)
    for each, (statistics, ended, state) in zip(settings, two, strict=True):
        dtype = each.get("dtype", "float32")
        start = weights(checkpoint_io.load(tiny, dtype))
        learner = make_learner(checkpoint_io.load(tiny, dtype), **each)
        compare(statistics, [learner.learn(groups, step) for step in (0, 1, 2)], dtype)
        assert apart(ended, merged(learner), start) < APART[dtype]
        resumed = make_learner(checkpoint_io.load(tiny, dtype), **each)
        resumed.load_state_dict(state)
        assert apart(merged(resumed), ended, start) < APART[dtype]
        compare([resumed.learn(groups, 3)], [learner.learn(groups, 3)], dtype)
    settings = [*EXACT[-2:], *ROUNDED]  # adapters, a critic, and masters beside the weights
    halfway = [make_learner(checkpoint_io.load(tiny, each.get("dtype", "float32")), **each) for each in settings]
    for learner in halfway:
        learner.learn(groups, 0)
    states = [learner.state_dict() for learner in halfway]
    two = together(tmp_path / "on", 2, **job, settings=settings, states=states, steps=[1, 2])
    for each, learner, (statistics, _, _) in zip(settings, halfway, two, strict=True):
        expected = [learner.learn(groups, step) for step in (1, 2)]
        compare(statistics, expected, each.get("dtype", "float32"))


def merged(learner: Learner) -> dict[str, torch.Tensor]:
    return dict(PolicyWeights(learner.policy.network).merged())


def compare(found: list, expected: list, dtype: str) -> None:
    """Statistics and numbers of updates."""
    for (ours, ours_done), (theirs, theirs_done) in zip(found, expected, strict=True):
        assert ours_done == theirs_done
        assert_close(numbers(ours), numbers(theirs), dtype)


@pytest.mark.slow
def test_jobs_that_train_are_started_by_torchrun_and_others_are_not(tmp_path: Path):
    project = Project.copy(tmp_path)
    (tmp_path / "two.yaml").write_text("hardware: {processes: 2, gpus: 2}")
    code, output = project.snakemake("-n", "-p", "--quiet", "progress", *SMOKE, "two.yaml", "--resources", "gpu=2")
    assert code == 0, output
    started = dict.fromkeys(re.findall(r"(\S[^\n]*) (train|profile_prompts|evaluate) --", output))
    two = "torchrun --standalone --nnodes 1 --nproc-per-node 2 -m dopr.runtime.launch torch"
    assert {(how.removeprefix("Shell command: "), script) for how, script in started} == {
        (two, "train"),
        (two, "profile_prompts"),
        ("python -m dopr.runtime.launch torch", "evaluate"),
    }
    assert set(re.findall(r"torch train .*--threads (\d)", output)) == {"2"}


@pytest.mark.slow
def test_samples_do_not_depend_on_the_number_of_processes(tiny: Path, tmp_path: Path):
    """Four prompts for two processes, and one, whose samples they share."""
    for prompts in ([[5, 6], [7], [8, 9, 10], [11]], [[5, 6, 7]]):
        job = {"do": "generate", "base": tiny, "prompts": prompts, "n": 3}
        (alone,) = generated(job)
        first, second = together(tmp_path / "two", 2, **job)
        assert first == second
        assert [[sample.tokens for sample in group] for group in first] == [
            [sample.tokens for sample in group] for group in alone
        ]


@pytest.mark.slow
@pytest.mark.parametrize("changes", [{}, {"lora": ADAPTERS, "learning_rate": 1e-2}], ids=["whole", "lora"])
def test_a_run_stopped_under_either_number_of_processes_goes_on_under_the_other(
    boxing: Path,  # noqa: F811
    tmp_path: Path,
    pool: list,  # noqa: F811
    recipe: Recipe,  # noqa: F811
    config: Config,
    changes: dict,
):
    settings = {"steps": STEPS - 2, "learning_rate": 1e-3, "prompts_per_step": 2, **changes}
    short = recipe.model_copy(update=settings)
    long = short.model_copy(update={"steps": STEPS})
    job = {"do": "train", "base": boxing, "pool": pool, "verify": config.verify}
    metrics, saved = trained({**job, "recipe": long, "state": tmp_path / "w"})
    assert any(row["updated"] for row in metrics)
    assert bool(saved[1]) == bool(short.lora)

    def by_two(job: dict) -> tuple:
        return together(tmp_path / "two", 2, **job)

    for first, then in ((by_two, trained), (trained, by_two)):
        state = tmp_path / first.__name__
        first({**job, "recipe": short, "state": state})
        assert sorted(path.name for path in state.glob("step-*")) == [f"step-{STEPS - 2:08d}"]
        found, ended = then({**job, "recipe": long, "state": state})
        for row, expected in zip(found, metrics, strict=True):
            assert_close(row, expected, "float32")
        assert apart(ended[0], saved[0], weights(checkpoint_io.load(boxing))) < APART["float32"]
        if short.lora:
            assert apart(ended[1], saved[1], dict.fromkeys(saved[1], torch.zeros(()))) < APART["float32"]
        assert rows(state, tmp_path) == rows(tmp_path / "w", tmp_path)


def rows(state: Path, folder: Path) -> list[dict]:
    """The ledger's rows; every rollout once, whoever sampled it."""
    Ledger(state / "ledger", "pool/method/0", STEPS).write(folder / "ledger.parquet")
    return pq.read_table(folder / "ledger.parquet").to_pylist()
