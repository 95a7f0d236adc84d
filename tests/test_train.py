"""The training loop on a tiny policy: what it counts, that it repeats itself, and that stopping it changes nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from tokenizers import Tokenizer

from dopr.config.recipe import Critic, Lora, Recipe, Reuse, Reward
from dopr.config.schema import Config
from dopr.grading.grader import Grader
from dopr.models import checkpoint_io
from dopr.records import Prompt
from dopr.selection.selector import RolloutRequest, Setup, StatelessSelector
from dopr.training.ledger import Ledger
from dopr.training.train import Run, SelectorError, generate_rollouts, train
from fixture_run import StoppedError, make_run

STEPS = 6


@pytest.fixture
def recipe(config: Config) -> Recipe:
    """Any digit in a box is right for some prompt of the pool, so a random policy meets some signal."""
    return config.recipes["dopr"].model_copy(
        update={"steps": STEPS, "group_size": 16, "learning_rate": 0.01, "options": {"candidates": 2}}
    )


@pytest.fixture
def grader(config: Config) -> Grader:
    with Grader(config.verify) as grader:
        yield grader


@pytest.fixture
def boxing(tiny: Path, tmp_path: Path) -> Path:
    r"""The tiny policy, biased towards `\\boxed{d}` by its embeddings' size being irrelevant: trained for 60 steps."""
    policy = checkpoint_io.load(tiny)
    tokenizer = Tokenizer.from_file(str(tiny / "tokenizer.json"))
    rows = [tokenizer.encode(f"compute 1 + {d}\n\\boxed{{{d % 3}}}<eos>").ids for d in range(9)]
    ids = torch.tensor(rows)
    optimiser = torch.optim.AdamW(policy.parameters(), lr=0.01)
    for _ in range(60):
        loss = torch.nn.functional.cross_entropy(policy.network(ids).logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    checkpoint_io.save(policy, tmp_path / "boxing", like=tiny)
    return tmp_path / "boxing"


@pytest.fixture
def pool() -> list[Prompt]:
    return [Prompt(f"p{i}", f"compute 1 + {i}\n", str(i % 3), "chain1") for i in range(4)]


def outcome(run: Run, folder: Path) -> tuple[dict[str, torch.Tensor], list[dict[str, float]], list[dict]]:
    Ledger(run.state.folder / "ledger", run.name, STEPS).write(folder / "ledger.parquet")
    return run.policy.network.state_dict(), run.metrics, pq.read_table(folder / "ledger.parquet").to_pylist()


def assert_same(first: tuple, second: tuple) -> None:
    assert all(torch.equal(first[0][name], second[0][name]) for name in first[0])
    assert first[1:] == second[1:]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"reuse": Reuse(groups=2, window=4)},
        {"dtype": "bfloat16", "epochs": 2, "minibatches": 2},
        {"critic": Critic(learning_rate=0.01), "reuse": Reuse(groups=2, window=4)},
        {"lora": Lora(rank=4, alpha=8), "micro_batch_tokens": 200, "gradient_checkpointing": True},
    ],
)
@pytest.mark.parametrize("stop_at", [1, 2, 3, STEPS])
def test_stopped_at_any_step_and_resumed_it_ends_the_same(
    boxing: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader, stop_at: int, changes: dict
) -> None:
    recipe = recipe.model_copy(update=changes)
    whole = make_run(boxing, tmp_path / "whole", pool, recipe, grader)
    train(whole)
    with pytest.raises(StoppedError):
        train(make_run(boxing, tmp_path / "parts", pool, recipe, grader, stop_at))
    resumed = make_run(boxing, tmp_path / "parts", pool, recipe, grader)
    train(resumed)
    assert_same(outcome(whole, tmp_path / "whole"), outcome(resumed, tmp_path / "parts"))
    snapshots = [sorted(path.name for path in (run.state.folder / "snapshots").iterdir()) for run in (whole, resumed)]
    assert snapshots[0] == snapshots[1] == ["step-00000002", "step-00000006"]


def test_the_policy_learns_and_the_counts_agree(
    boxing: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader
) -> None:
    run = make_run(boxing, tmp_path, pool, recipe, grader)
    before = {name: value.clone() for name, value in run.policy.network.state_dict().items()}
    watch = train(run)
    _, metrics, ledger = outcome(run, tmp_path)
    assert any(row["updated"] for row in metrics)
    assert any(not torch.equal(before[name], value) for name, value in run.policy.network.state_dict().items())
    assert [row["rollouts"] for row in metrics] == [16 * (i + 1) for i in range(STEPS)]
    assert metrics[-1]["tokens"] == sum(row["prompt_tokens"] + row["completion_tokens"] for row in ledger)
    for row in metrics:
        rewards = [entry["reward"] for entry in ledger if entry["step"] == row["step"] - 1]
        assert row["reward"] == sum(rewards) / len(rewards)
        assert 1 - row["frac_reward_zero_std"] == (0 < sum(rewards) < len(rewards)) == row["updated"]
    assert [lap[0] for lap in watch.laps] == list(range(1, STEPS + 1))


def test_sampler_and_trainer_agree_on_log_probabilities(
    boxing: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader
) -> None:
    run = make_run(boxing, tmp_path, pool, recipe, grader)
    train(run)
    assert 0 < max(row["logprob_gap"] for row in run.metrics) < 1e-5


def test_the_terms_beside_the_policy_gradient_need_no_reward(
    boxing: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader
) -> None:
    """No answer is ever right, and every step is an update all the same; once with the bonus, and once without."""
    pool = [replace(prompt, answer="70") for prompt in pool]
    ends = []
    for entropy in (0.0, 1.0):
        loss = recipe.loss.model_copy(update={"policy_gradient": False, "entropy": entropy, "kl": 0.001})
        changed = recipe.model_copy(update={"loss": loss, "learning_rate": 0.001})
        run = make_run(boxing, tmp_path / str(entropy), pool, changed, grader)
        train(run)
        assert all(row["frac_reward_zero_std"] == 1 for row in run.metrics)
        assert all(row["updated"] for row in run.metrics)
        ends.append(run.metrics[-1])
    assert ends[1]["entropy"] > ends[0]["entropy"]
    assert run.metrics[0]["kl"] == 0 < ends[1]["kl"]


def test_a_selector_that_names_an_unknown_prompt_is_refused(
    boxing: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader
) -> None:
    class Wild(StatelessSelector):
        setup = Setup((), 0, 1)

        def select(self, step: int) -> list[str]:
            return ["p9"]

    run = replace(make_run(boxing, tmp_path, pool, recipe, grader), selector=Wild())
    with pytest.raises(SelectorError, match="returned 1 unknown prompts of 1, such as 'p9'"):
        train(run)


def test_a_random_reward_stands_beside_the_verdict_in_the_ledger(
    boxing: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader
) -> None:
    recipe = recipe.model_copy(update={"reward": Reward(kind="random")})
    run = make_run(boxing, tmp_path, pool, recipe, grader)
    train(run)
    _, metrics, ledger = outcome(run, tmp_path)
    pairs = {(row["verdict"], row["reward"]) for row in ledger}
    assert {("correct", 0.0), ("correct", 1.0), ("wrong", 0.0), ("wrong", 1.0)} <= pairs
    for row in metrics:
        rewards = [entry["reward"] for entry in ledger if entry["step"] == row["step"] - 1]
        assert row["reward"] == sum(rewards) / len(rewards)


def test_with_wrong_labels_the_verdict_is_against_those(
    boxing: Path, tmp_path: Path, pool: list[Prompt], recipe: Recipe, grader: Grader
) -> None:
    recipe = recipe.model_copy(update={"reward": Reward(kind="wrong_label")})
    run = make_run(boxing, tmp_path, pool, recipe, grader)
    groups = generate_rollouts(run, 0, [RolloutRequest(prompt.id, 16) for prompt in pool])
    rollouts = [rollout for group in groups for rollout in group]
    assert all(run.rewards.labels[rollout.prompt.id] != rollout.prompt.answer for rollout in rollouts)
    against = [(run.rewards.labels[rollout.prompt.id], rollout.text) for rollout in rollouts]
    assert [rollout.verdict for rollout in rollouts] == grader.grade(against)
    truth = grader.grade([(rollout.prompt.answer, rollout.text) for rollout in rollouts])
    assert [rollout.reward for rollout in rollouts] != [float(verdict == "correct") for verdict in truth]
