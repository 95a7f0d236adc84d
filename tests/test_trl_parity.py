"""Losses, their gradients and advantages against TRL's own GRPOTrainer, on the same weights and the same tokens."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dopr.config.recipe import Loss
from dopr.models import checkpoint_io
from dopr.models.logprobs import completion_logprobs
from dopr.models.network import Policy
from dopr.training.advantages import group_advantages, overlong_penalty
from dopr.training.loss import Normalisation, minibatch_loss
from dopr.training.update import Objective, TrainingSample, loss_inputs
from fixture_rollouts import make_rollout

TEMPERATURE, LIMIT, ROWS = 0.7, 12, 8
LOW, HIGH = 0.1, 0.25
THEIRS: dict[str, dict[str, Any]] = {  # how TRL is told the same
    "grpo": {"loss_type": "grpo"},
    "dr_grpo": {"loss_type": "dr_grpo"},
    "dapo": {"loss_type": "dapo"},
    "bnpo": {"loss_type": "bnpo"},
    "cispo": {"loss_type": "cispo", "epsilon_high": 1 + HIGH},  # the cap itself
    "gspo": {"loss_type": "grpo", "importance_sampling_level": "sequence"},
}
ADVANTAGES = (1.5, -0.5, -0.5, -0.5, 0.0, 0.0, 0.9, -1.1)


def make_trainer(folder: Path, output: Path, rewards: list[float] | None = None, **options: Any) -> Any:
    """TRL's trainer on the policy in `folder`; rewards: what its reward function gives."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    fixed: dict[str, Any] = {
        "output_dir": str(output),
        "per_device_train_batch_size": ROWS,
        "num_generations": 4,
        "max_completion_length": LIMIT,
        "temperature": TEMPERATURE,
        "epsilon": LOW,
        "epsilon_high": HIGH,
        "use_bias_correction_kl": False,
        "bf16": False,
        "use_cpu": True,
        "gradient_checkpointing": False,
        "report_to": [],
        "model_init_kwargs": {"dtype": "float32"},
    }
    trainer = GRPOTrainer(
        model=str(folder),
        reward_funcs=lambda completions, **_: rewards or [0.0] * len(completions),
        args=GRPOConfig(**{**fixed, **options}),
        train_dataset=Dataset.from_dict({"prompt": ["compute 1 + 2\n"] * ROWS}),
    )
    trainer.current_gradient_accumulation_steps = trainer.args.gradient_accumulation_steps
    trainer.model.train()
    return trainer


def make_rows(policy: Policy, lengths: list[int] | None = None) -> list[TrainingSample]:
    """Prompts and completions of differing lengths, drawn by a policy far enough away for the clip to be active."""
    rng, rows = random.Random(0), []
    for i, advantage in enumerate(ADVANTAGES):
        prompt = tuple(rng.randrange(3, 40) for _ in range(rng.randrange(2, 7)))
        length = lengths[i] if lengths else rng.randrange(1, LIMIT + 1)
        tokens = tuple(rng.randrange(3, 40) for _ in range(length))
        with torch.no_grad():
            now, _ = completion_logprobs(policy, [prompt], [tokens], TEMPERATURE)
        drift = rng.choice([-0.3, 0.3])  # of the whole completion, for the ratio of sequences
        stored = tuple(value + drift + rng.gauss(0, 0.3) for value in now[0].tolist())
        rows.append(
            TrainingSample(make_rollout(prompt_tokens=prompt, tokens=tokens, logprobs=stored), advantage, fresh=False)
        )
    return rows


@pytest.fixture
def policy(tiny: Path) -> Policy:
    return checkpoint_io.load(tiny)


@pytest.fixture
def starting(tiny: Path) -> Policy:
    """Another policy to diverge from."""
    policy = checkpoint_io.load(tiny)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.1 * torch.randn(weight.shape, generator=noise)
    return policy


def ours(
    policy: Policy, rows: list[TrainingSample], loss: Loss, starting: Policy | None, share: float | None = None
) -> tuple[Tensor, dict[str, Tensor]]:
    """Our loss and its gradient; rows that need not be computed are left out."""
    objective = Objective(loss, TEMPERATURE, LIMIT, starting)
    tokens = objective.completion_tokens(rows)
    normalisation = Normalisation(len(rows), tokens, tokens if share is None else share, LIMIT)
    terms = minibatch_loss(loss_inputs(policy, objective.contributing(rows), objective, 0), normalisation, loss)
    policy.zero_grad()
    terms.loss.backward()
    assert 0 < terms.clipped < 1
    return terms.loss.detach(), {name: weight.grad for name, weight in policy.network.named_parameters()}


def their_inputs(rows: list[TrainingSample], starting: Policy) -> dict[str, Tensor]:
    """The rows as TRL wants them: prompts padded on the left, completions on the right."""
    prompts, completions = [row.rollout.prompt_tokens for row in rows], [row.rollout.tokens for row in rows]
    widest, longest = max(map(len, prompts)), max(map(len, completions))

    def right(values: Any) -> list[Any]:
        return [[*value, *[0] * (longest - len(value))] for value in values]

    with torch.no_grad():
        reference, mask = completion_logprobs(starting, prompts, completions, TEMPERATURE)
    return {
        "prompt_ids": torch.tensor([[0] * (widest - len(prompt)) + list(prompt) for prompt in prompts]),
        "prompt_mask": torch.tensor([[0] * (widest - len(prompt)) + [1] * len(prompt) for prompt in prompts]),
        "completion_ids": torch.tensor(right(completions)),
        "completion_mask": mask.long(),
        "advantages": torch.tensor([row.advantage for row in rows]),
        "old_per_token_logps": torch.tensor(right([row.rollout.logprobs for row in rows])),
        "ref_per_token_logps": reference,
        "num_items_in_batch": mask.sum(),
    }


def theirs(trainer: Any, *batches: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
    """TRL's loss, summed over the mini-batches, and its gradient."""
    trainer.model.zero_grad()
    losses = [trainer._compute_loss(trainer.model, batch) for batch in batches]
    total = torch.stack(losses).sum()
    total.backward()
    return total.detach(), {name: weight.grad for name, weight in trainer.model.named_parameters()}


def assert_equal(found: tuple[Tensor, dict[str, Tensor]], expected: tuple[Tensor, dict[str, Tensor]]) -> None:
    torch.testing.assert_close(found[0], expected[0], rtol=1e-5, atol=1e-6)
    assert found[1].keys() == expected[1].keys()
    largest = max(float(gradient.abs().max()) for gradient in expected[1].values())
    assert largest > 1e-3
    for name, gradient in expected[1].items():
        torch.testing.assert_close(
            found[1][name], gradient, rtol=1e-4, atol=1e-5 * largest, msg=lambda text, name=name: f"{name}: {text}"
        )


def make_loss(variant: str, **changes: Any) -> Loss:
    return Loss(**{"variant": variant, "clip_low": LOW, "clip_high": HIGH, "advantage_epsilon": 1e-4, **changes})


@pytest.mark.parametrize("kl", [0.0, 0.3])
@pytest.mark.parametrize("variant", THEIRS)
def test_loss_and_gradient_are_trls(tiny, tmp_path, policy, starting, variant, kl):
    rows = make_rows(policy)
    trainer = make_trainer(tiny, tmp_path, beta=kl, **THEIRS[variant])
    found = ours(policy, rows, make_loss(variant, kl=kl), starting if kl else None)
    assert_equal(found, theirs(trainer, their_inputs(rows, starting)))


@pytest.mark.parametrize("variant", THEIRS)
def test_the_entropy_bonus_is_trls_where_all_completions_are_of_full_length(tiny, tmp_path, policy, starting, variant):
    """TRL's is a token mean whatever the loss; ours is averaged as the loss is, which is then the same."""
    rows = make_rows(policy, [LIMIT] * ROWS)
    trainer = make_trainer(tiny, tmp_path, entropy_coef=0.4, beta=0.1, **THEIRS[variant])
    found = ours(policy, rows, make_loss(variant, entropy=0.4, kl=0.1), starting)
    assert_equal(found, theirs(trainer, their_inputs(rows, starting)))


@pytest.mark.parametrize("variant", ["dapo", "bnpo", "cispo"])
def test_the_entropy_bonus_is_trls_at_any_length_where_the_loss_is_a_token_mean(
    tiny, tmp_path, policy, starting, variant
):
    rows = make_rows(policy)
    trainer = make_trainer(tiny, tmp_path, entropy_coef=0.4, **THEIRS[variant])
    found = ours(policy, rows, make_loss(variant, entropy=0.4), None)
    assert_equal(found, theirs(trainer, their_inputs(rows, starting)))


@pytest.mark.parametrize("variant", THEIRS)
def test_a_mini_batch_has_trls_share_of_the_whole_batch(tiny, tmp_path, policy, starting, variant):
    """Two updates from one batch of rollouts: the averages over the batch know its size, not the mini-batch's."""
    rows = make_rows(policy)
    whole = sum(len(row.rollout.tokens) for row in rows)
    options = {"per_device_train_batch_size": ROWS // 2, "steps_per_generation": 2}
    trainer = make_trainer(tiny, tmp_path, **options, **THEIRS[variant])
    for part in (rows[::2], rows[1::2]):
        inputs = {**their_inputs(part, starting), "num_items_in_batch": torch.tensor(whole)}
        assert_equal(ours(policy, part, make_loss(variant), None, whole / 2), theirs(trainer, inputs))


@pytest.mark.parametrize("variant", ["grpo", "dr_grpo", "dapo", "cispo", "gspo"])
def test_a_batch_is_what_trl_accumulates_over_its_parts(tiny, tmp_path, policy, starting, variant):
    """bnpo is left out: its mean is over each part, and ours has one part only."""
    rows = make_rows(policy)
    whole = torch.tensor(sum(len(row.rollout.tokens) for row in rows))
    options = {"per_device_train_batch_size": ROWS // 2, "gradient_accumulation_steps": 2}
    trainer = make_trainer(tiny, tmp_path, **options, **THEIRS[variant])
    parts = [{**their_inputs(part, starting), "num_items_in_batch": whole} for part in (rows[::2], rows[1::2])]
    assert_equal(ours(policy, rows, make_loss(variant), None), theirs(trainer, *parts))


@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_advantages_are_trls(tiny, tmp_path, scale):
    rewards = [1.0, 0.0, 0.25, 0.0, 1.0, 1.0, 1.0, 1.0]
    trainer = make_trainer(tiny, tmp_path, rewards, scale_rewards=scale)
    scored = trainer._generate_and_score_completions([{"prompt": "compute 1 + 2\n"}] * ROWS)
    found = group_advantages([rewards[:4], rewards[4:]], scale, 1e-4)
    torch.testing.assert_close(torch.tensor(found).flatten(), scored["advantages"], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("variant", THEIRS)
def test_truncated_completions_are_masked_as_in_trl(tiny, tmp_path, policy, starting, variant):
    """TRL zeroes their masks and leaves their tokens out of the count; the rows still count as rows."""
    rows, cut = make_rows(policy), [1, 4, 6]
    inputs = their_inputs(rows, starting)
    inputs["completion_mask"][cut] = 0
    inputs["num_items_in_batch"] = inputs["completion_mask"].sum()
    rows = [
        replace(row, rollout=replace(row.rollout, finish="length" if i in cut else "stop"))
        for i, row in enumerate(rows)
    ]
    trainer = make_trainer(tiny, tmp_path, mask_truncated_completions=True, **THEIRS[variant])
    assert_equal(ours(policy, rows, make_loss(variant, mask_truncated=True), None), theirs(trainer, inputs))


def test_the_overlong_penalty_is_trls():
    from trl.rewards import get_soft_overlong_punishment

    punish = get_soft_overlong_punishment(max_completion_len=20, soft_punish_cache=8)
    expected = punish([[0] * length for length in range(1, 21)])
    assert [overlong_penalty(length, 20, 8) for length in range(1, 21)] == pytest.approx(expected)
    assert (expected[0], expected[-1]) == (0.0, -1.0)


def test_rejection_sampling_fine_tuning_is_the_cross_entropy_of_transformers(tiny, policy):
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(tiny, dtype=torch.float32)
    rows = [TrainingSample(row.rollout, 1.0, fresh=True) for row in make_rows(policy)]
    losses, tokens = [], 0
    for row in rows:
        ids = torch.tensor([[*row.rollout.prompt_tokens, *row.rollout.tokens]])
        labels = ids.clone()
        labels[:, : len(row.rollout.prompt_tokens)] = -100
        losses.append(network(ids, labels=labels).loss * len(row.rollout.tokens))
        tokens += len(row.rollout.tokens)
    loss = torch.stack(losses).sum() / tokens
    loss.backward()
    objective = Objective(make_loss("rft"), 1.0, LIMIT, None)  # theirs knows no other temperature
    terms = minibatch_loss(
        loss_inputs(policy, rows, objective, 0), Normalisation(ROWS, tokens, tokens, LIMIT), objective.loss
    )
    terms.loss.backward()
    gradients = [dict(each.named_parameters()) for each in (policy.network, network)]
    assert_equal(
        (terms.loss.detach(), {name: weight.grad for name, weight in gradients[0].items()}),
        (loss.detach(), {name: weight.grad for name, weight in gradients[1].items()}),
    )
