"""One optimiser step: what it does to the policy, what it reports, and when it refuses."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from tokenizers import Tokenizer

from dopr.config.recipe import Loss, Recipe
from dopr.models import checkpoint_io
from dopr.models.logprobs import completion_logprobs
from dopr.rollout.torch_engine import TorchEngine
from dopr.training.optimiser import Optimiser
from dopr.training.update import Objective, TrainingSample, update
from fixture_rollouts import make_rollout


def recipe(**changes) -> Recipe:
    fields = {
        "selector": "uniform",
        "group_size": 8,
        "steps": 10,
        "learning_rate": 1e-3,
        "warmup_steps": 0,
        "betas": (0.9, 0.99),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "loss": Loss(variant="dapo", clip_low=0.2, clip_high=0.2, advantage_epsilon=1e-4),
    }
    return Recipe(**{**fields, **changes})


@pytest.fixture
def policy(tiny):
    return checkpoint_io.load(tiny)


def fresh_rows(tiny, prompts, temperature: float = 1.0, advantages=(1.5, -0.5, -0.5, -0.5)) -> list[TrainingSample]:
    """Groups really sampled from the tiny policy, with made-up advantages."""
    tokenizer, rows = Tokenizer.from_file(str(tiny / "tokenizer.json")), []
    ids = [tuple(tokenizer.encode(prompt.text).ids) for prompt in prompts]
    groups = TorchEngine.from_folder(tiny).generate(ids, len(advantages), temperature, 24, seed=1)
    for prompt, group in zip(ids, groups, strict=True):
        for advantage, sample in zip(advantages, group, strict=True):
            rollout = make_rollout(prompt_tokens=prompt, tokens=sample.tokens, logprobs=sample.logprobs)
            rows.append(TrainingSample(rollout, advantage, fresh=True))
    return rows


def step(policy, rows, temperature: float = 1.0, at: int = 0, **changes):
    settings = recipe(**changes)
    optimiser = Optimiser(policy, settings, settings.learning_rate, torch.float32)
    objective = Objective(settings.loss, temperature, 24, None)
    return update(policy, optimiser, rows, objective, objective.completion_tokens(rows), at)


def total(policy, row: TrainingSample, temperature: float = 1.0) -> float:
    """Log-probability of a whole completion."""
    with torch.no_grad():
        scores, _ = completion_logprobs(policy, [row.rollout.prompt_tokens], [row.rollout.tokens], temperature)
    return float(scores.sum())


def test_a_first_step_moves_every_weight_by_its_learning_rate_at_most(tiny, policy, pool):
    """Adam's first step is lr * sign(gradient), but for tiny gradients."""
    before = {name: weight.clone() for name, weight in policy.network.state_dict().items()}
    step(policy, fresh_rows(tiny, pool[:2]), at=1, learning_rate=1e-3, warmup_steps=4)  # half of the warm-up
    moved = torch.cat([(policy.network.state_dict()[name] - weight).abs().flatten() for name, weight in before.items()])
    assert moved.max() == pytest.approx(5e-4, rel=1e-2)


# --- the log-probability gap ---


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_sampler_and_trainer_agree_to_rounding_on_fresh_samples(tiny, policy, pool, temperature):
    statistics = step(policy, fresh_rows(tiny, pool, temperature), temperature, learning_rate=1e-12)
    assert 0 <= statistics.gap.high < 1e-5
    assert statistics.clipped == 0


def test_a_trainer_at_another_temperature_or_with_other_weights_shows_in_the_gap(tiny, policy, pool):
    rows = fresh_rows(tiny, pool, 1.0)
    assert step(checkpoint_io.load(tiny), rows, 0.5).gap.high > 0.01
    step(policy, rows, learning_rate=1e-2)
    assert step(policy, rows).gap.high > 0.01


def test_replayed_rows_do_not_count_in_the_gap(tiny, policy, pool):
    rows = fresh_rows(tiny, pool[:1])
    shifted = tuple(value - 0.25 for value in rows[0].rollout.logprobs)
    old = replace(rows[0], rollout=replace(rows[0].rollout, logprobs=shifted))
    assert step(checkpoint_io.load(tiny), [old]).gap.high == pytest.approx(0.25, abs=1e-4)
    assert step(checkpoint_io.load(tiny), [replace(old, fresh=False), *rows[1:]]).gap.high < 1e-5


# --- the step itself ---


def test_a_step_makes_a_good_sample_likelier_and_a_bad_one_less_likely(tiny, pool):
    good, bad = fresh_rows(tiny, pool[:1], advantages=(1.0, -1.0))
    for row, sign in ((good, 1), (bad, -1)):
        policy = checkpoint_io.load(tiny)
        before = total(policy, row)
        step(policy, [row])
        assert sign * (total(policy, row) - before) > 0.01


def test_rows_with_zero_advantage_count_in_the_token_mean_alone(tiny, pool):
    rows = fresh_rows(tiny, pool[:1], advantages=(1.0, -1.0))
    tokens = sum(len(row.rollout.tokens) for row in rows)
    silent = TrainingSample(make_rollout(tokens=(3,) * tokens, logprobs=(-1.0,) * tokens), 0.0, fresh=True)
    alone, beside = step(checkpoint_io.load(tiny), rows), step(checkpoint_io.load(tiny), [silent, *rows])
    assert beside.grad_norm == pytest.approx(alone.grad_norm / 2, rel=1e-4)
    assert (beside.clipped, beside.gap) == (alone.clipped, alone.gap)


def test_the_order_of_rows_does_not_matter(tiny, pool):
    rows, policies = fresh_rows(tiny, pool[:3]), [checkpoint_io.load(tiny), checkpoint_io.load(tiny)]
    norms = [step(policy, order).grad_norm for policy, order in zip(policies, (rows, rows[::-1]), strict=True)]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)


def test_the_gradient_is_clipped_to_its_largest_norm_and_reported_as_it_was(tiny, pool):
    rows, policy = fresh_rows(tiny, pool[:2]), checkpoint_io.load(tiny)
    free = step(checkpoint_io.load(tiny), rows, max_grad_norm=1e9).grad_norm
    assert step(policy, rows, max_grad_norm=free / 10).grad_norm == pytest.approx(free)
    clipped = math.sqrt(sum(float((parameter.grad**2).sum()) for parameter in policy.parameters()))
    assert clipped == pytest.approx(free / 10, rel=1e-3)


def test_the_clip_stops_what_has_moved_far_enough(tiny, policy, pool):
    """Stored log-probabilities one lower than now: the ratio is e, beyond 1 + clip for a positive advantage."""
    (row,) = fresh_rows(tiny, pool[:1], advantages=(1.0,))
    old = replace(row, rollout=replace(row.rollout, logprobs=tuple(value - 1 for value in row.rollout.logprobs)))
    before = {name: weight.clone() for name, weight in policy.network.state_dict().items()}
    statistics = step(policy, [old])
    assert (statistics.clipped, statistics.grad_norm) == (1.0, 0.0)
    assert all(torch.equal(policy.network.state_dict()[name], weight) for name, weight in before.items())


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_the_run_before_the_step(tiny, policy, pool, value):
    rows = fresh_rows(tiny, pool[:1])
    with torch.no_grad():
        policy.network.model.norm.weight[0] = value
    before = policy.network.model.embed_tokens.weight.clone()
    with pytest.raises(FloatingPointError, match=r"step 7: the loss is nan .*; lower learning_rate"):
        step(policy, rows, at=6)
    assert torch.equal(policy.network.model.embed_tokens.weight, before)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_an_advantage_or_a_stored_log_probability_that_is_not_finite_stops_the_run(tiny, policy, pool, value):
    row = fresh_rows(tiny, pool[:1])[0]
    stored = (value, *row.rollout.logprobs[1:])
    before = policy.network.model.embed_tokens.weight.clone()
    for broken in (replace(row, advantage=value), replace(row, rollout=replace(row.rollout, logprobs=stored))):
        with pytest.raises(FloatingPointError, match="step 7: a rollout's log-probability or advantage is not finite"):
            step(policy, [broken], at=6)
    assert torch.equal(policy.network.model.embed_tokens.weight, before)
