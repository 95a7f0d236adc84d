"""PPO's critic: advantages by hand and by their definition, the clipped value loss, and that it learns."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from dopr.config.recipe import Critic as Settings
from dopr.config.recipe import Loss, Recipe
from dopr.models import checkpoint_io
from dopr.training.critic import Critic, gae, value_loss, whiten
from dopr.training.update import TrainingSample
from fixture_rollouts import make_rollout


def make_critic(policy: Any, **settings: Any) -> Critic:
    recipe = Recipe(
        selector="uniform",
        group_size=4,
        steps=10,
        learning_rate=1e-3,
        warmup_steps=0,
        betas=(0.9, 0.99),
        weight_decay=0.0,
        max_grad_norm=1.0,
        loss=Loss(variant="dapo", clip_low=0.2, clip_high=0.2, advantage_epsilon=1e-4),
    )
    return Critic(policy, recipe, Settings(**{"learning_rate": 0.01, **settings}))


@pytest.fixture
def policy(tiny):
    return checkpoint_io.load(tiny)


@pytest.fixture
def rows() -> list[TrainingSample]:
    """A right and a wrong completion of different lengths to one prompt."""
    right = make_rollout(tokens=(5, 6, 1), logprobs=(-1.0,) * 3, reward=1.0)
    wrong = make_rollout(tokens=(9, 4, 4, 4, 1), logprobs=(-1.0,) * 5, reward=0.0)
    return [TrainingSample(right, 0.0, fresh=True), TrainingSample(wrong, 0.0, fresh=True)]


# --- advantages ---


def test_generalised_advantages_by_hand():
    """Values 0.5, 0.25, 0.75, reward 1: deltas from the end 1 - 0.75, 0.5 * 0.75 - 0.25, 0.5 * 0.25 - 0.5."""
    deltas = [-0.375, 0.125, 0.25]
    assert gae(1.0, [0.5, 0.25, 0.75], discount=0.5, gae_lambda=0.0) == deltas
    # times discount * lambda = 0.4 and added up from the end
    expected = [-0.375 + 0.4 * (0.125 + 0.4 * 0.25), 0.125 + 0.4 * 0.25, 0.25]
    assert gae(1.0, [0.5, 0.25, 0.75], discount=0.5, gae_lambda=0.8) == pytest.approx(expected)


def test_with_lambda_one_the_advantage_is_the_discounted_reward_less_the_value():
    values = [0.3, -0.2, 0.9, 0.4, 0.1]
    found = gae(2.0, values, discount=0.9, gae_lambda=1.0)
    assert found == pytest.approx([2.0 * 0.9 ** (4 - t) - value for t, value in enumerate(values)])


def test_a_perfect_value_function_leaves_no_advantage():
    assert gae(1.0, [0.81, 0.9, 1.0], discount=0.9, gae_lambda=0.7) == pytest.approx([0, 0, 0])


def test_whitening_by_hand():
    """0, 2, 4, 6: mean 3, variance 20 / 3."""
    found = whiten([[0.0], [2.0, 4.0, 6.0]])
    scale = (20 / 3) ** 0.5
    assert found[0] == pytest.approx([-3 / scale])
    assert found[1] == pytest.approx([-1 / scale, 1 / scale, 3 / scale])
    assert whiten([[2.0, 2.0], [2.0]]) == [[0.0, 0.0], [0.0]]
    assert whiten([[2.0]]) == [[2.0]]


# --- the value loss ---


def one_value(value: float, before: float, target: float, clip: float = 0.2) -> tuple[float, float]:
    """Loss and gradient at a single token."""
    found = torch.tensor([[value]], requires_grad=True)
    loss = value_loss(found, torch.tensor([[before]]), torch.tensor([[target]]), torch.ones(1, 1).bool(), clip, 1)
    loss.backward()
    return loss.item(), found.grad.item()


@pytest.mark.parametrize(
    ("value", "before", "target", "loss", "gradient"),
    [
        (0.5, 0.5, 1.0, 0.125, -0.5),  # as it was: half the squared error
        (0.6, 0.5, 1.0, 0.08, -0.4),  # moved within the clip
        (0.8, 0.5, 1.0, 0.045, 0.0),  # moved too far towards the target: the error of 0.7, no gradient
        (0.2, 0.5, 1.0, 0.32, -0.8),  # moved too far away from it: the error as it is
    ],
)
def test_the_clipped_value_loss_by_hand(value, before, target, loss, gradient):
    assert one_value(value, before, target) == (pytest.approx(loss), pytest.approx(gradient, abs=1e-7))


def test_the_value_loss_is_a_mean_over_real_tokens():
    values, mask = torch.tensor([[1.0, 9.0], [0.0, 3.0]]), torch.tensor([[True, False], [True, True]])
    assert value_loss(values, values, torch.zeros(2, 2), mask, 0.2, 3).item() == pytest.approx((1 + 0 + 9) / 3 / 2)


# --- the critic ---


def test_at_first_values_are_zero_and_advantages_the_whitened_rewards(policy, rows):
    """Three tokens of advantage 1 and five of 0: mean 3/8, variance (3 * 25/64 + 5 * 9/64) / 7 = 15/56."""
    good, bad = make_critic(policy).estimate_advantages(rows)
    scale = (15 / 56) ** 0.5
    assert good.critic_output.values == (0.0,) * 3
    assert good.critic_output.returns == (1.0,) * 3
    assert bad.critic_output.returns == (0.0,) * 5
    assert good.critic_output.advantages == pytest.approx([0.625 / scale] * 3)
    assert bad.critic_output.advantages == pytest.approx([-0.375 / scale] * 5)
    assert (good.advantage, bad.advantage) == (1.0, 0.0)
    assert good.has_gradient
    assert bad.has_gradient


def test_it_learns_to_tell_a_right_from_a_wrong_completion_and_leaves_the_policy_alone(policy, rows):
    critic, before = make_critic(policy), copy.deepcopy(policy.state_dict())
    losses = []
    for step in range(60):
        losses.append(critic.learn(critic.estimate_advantages(rows), step))
    assert losses[0] == pytest.approx(3 / 8 / 2)
    # Before the first token nothing tells them apart: 1/2 is the best there, an error of 1/4 at two of eight tokens.
    assert losses[-1] == pytest.approx(2 * 0.25 / 8 / 2, abs=1e-3)
    good, bad = critic.estimate_advantages(rows)
    assert good.critic_output.values[-1] > 0.8
    assert bad.critic_output.values[-1] < 0.2
    assert good.critic_output.values[0] == pytest.approx(
        bad.critic_output.values[0], abs=1e-5
    )  # before either has begun
    assert all(torch.equal(policy.state_dict()[name], weight) for name, weight in before.items())


def test_the_value_of_a_token_does_not_depend_on_what_follows(policy, rows):
    critic = make_critic(policy)
    for step in range(5):
        critic.learn(critic.estimate_advantages(rows), step)
    long = make_rollout(tokens=(5, 6, 7, 8), logprobs=(-1.0,) * 4)
    with torch.no_grad():
        values, _ = critic.network([TrainingSample(long, 0.0, True), rows[0]])
    assert torch.allclose(values[0, :3], values[1, :3], atol=48 * 4 * 2**-24)  # sums of 48 products below 4
    assert not torch.allclose(values[0, :1], values[0, 1:2], atol=1e-4)


def test_the_value_clip_holds_it_back(policy, rows):
    """Assessed once and learned from often: no value moves far beyond the clip."""
    free, held = make_critic(policy, clip=100.0), make_critic(policy, clip=0.05)
    for critic in (free, held):
        assessed = critic.estimate_advantages(rows)
        for step in range(30):
            critic.learn(assessed, step)
    assert free.estimate_advantages(rows)[0].critic_output.values[-1] > 0.6
    assert held.estimate_advantages(rows)[0].critic_output.values[-1] < 0.4


def test_a_restored_critic_goes_on_the_same(policy, rows):
    critic, restored = make_critic(policy), make_critic(policy)
    critic.learn(critic.estimate_advantages(rows), 0)
    restored.load_state_dict(copy.deepcopy(critic.state_dict()))
    assert restored.estimate_advantages(rows) == critic.estimate_advantages(rows)
    assert restored.learn(restored.estimate_advantages(rows), 1) == critic.learn(critic.estimate_advantages(rows), 1)
    assert restored.estimate_advantages(rows) == critic.estimate_advantages(rows)


def test_no_rows_are_no_estimates(policy):
    assert make_critic(policy).estimate_advantages([]) == []
