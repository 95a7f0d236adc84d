"""Advantages and the clipped loss: by hand, against REINFORCE, and against a plain loop."""

from __future__ import annotations

import math

import pytest
import torch

from dopr.policy.loss import clipped_loss, group_advantages

TRUE = torch.ones(1, 1, dtype=torch.bool)


def one_token(ratio: float, advantage: float, clip: float = 0.2):
    """The terms of a batch of a single token, and the gradient of its log-probability."""
    logprobs = torch.tensor([[math.log(ratio) - 1.0]], requires_grad=True)
    terms = clipped_loss(logprobs, torch.tensor([[-1.0]]), torch.tensor([advantage]), TRUE, clip, 1)
    terms.loss.backward()
    return terms.loss.item(), terms.clipped, logprobs.grad.item()


def random_batch(seed: int):
    """Log-probabilities, behaviour, advantages and mask of a batch with rows of different lengths."""
    random = torch.Generator().manual_seed(seed)
    logprobs = -torch.rand(5, 7, generator=random, dtype=torch.float64) * 3
    behaviour = logprobs + 0.4 * torch.randn(5, 7, generator=random, dtype=torch.float64)
    advantages = torch.randn(5, generator=random, dtype=torch.float64)
    lengths = torch.randint(1, 8, (5, 1), generator=random)
    return logprobs.requires_grad_(), behaviour, advantages, torch.arange(7) < lengths


# --- advantages ---


def test_advantages_by_hand():
    # Rewards 1, 0, 0, 0: mean 1/4, sum of squares 3/4, std sqrt((3/4) / 3) = 1/2.
    assert group_advantages([1, 0, 0, 0], 1e-12) == pytest.approx([1.5, -0.5, -0.5, -0.5])
    assert group_advantages([1, 0, 0, 0], 0.5) == pytest.approx([0.75, -0.25, -0.25, -0.25])
    assert group_advantages([1, 0], 1e-12) == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5)])


@pytest.mark.parametrize("correct", range(9))
def test_advantages_sum_to_zero_and_are_all_zero_when_the_rewards_agree(correct):
    advantages = group_advantages([1.0] * correct + [0.0] * (8 - correct), 1e-4)
    assert sum(advantages) == pytest.approx(0, abs=1e-12)
    assert all(advantage == 0.0 for advantage in advantages) == (correct in (0, 8))


@pytest.mark.parametrize("reward", [0.1, 0.3, 1 / 3])
@pytest.mark.parametrize("size", [2, 3, 6, 7, 10])
def test_equal_rewards_that_are_no_binary_fractions_leave_no_visible_advantage(reward, size):
    assert group_advantages([reward] * size, 1e-4) == pytest.approx([0.0] * size, abs=1e-10)


def test_advantages_do_not_depend_on_the_scale_or_the_origin_of_the_rewards():
    plain = group_advantages([0, 1, 3, 0], 1e-12)
    assert group_advantages([5, 7, 11, 5], 1e-12) == pytest.approx(plain)


# --- the loss of one token ---


@pytest.mark.parametrize("advantage", [1.5, -0.5])
def test_at_ratio_one_the_loss_is_minus_the_advantage(advantage):
    loss, clipped, gradient = one_token(1.0, advantage)
    assert (loss, clipped, gradient) == (pytest.approx(-advantage), 0, pytest.approx(-advantage))


@pytest.mark.parametrize(
    ("ratio", "advantage", "loss", "clipped", "gradient"),
    [
        (1.1, 2.0, -2.2, 0, -2.2),  # inside the clip: -ratio A, and its gradient is the same
        (0.9, -2.0, 1.8, 0, 1.8),
        (1.5, 2.0, -2.4, 1, 0),  # already far enough up: min(3, 1.2 * 2)
        (0.5, 2.0, -1.0, 0, -1.0),  # a good token made rarer: not clipped, min(1, 0.8 * 2)
        (0.5, -2.0, 1.6, 1, 0),  # already far enough down: min(-1, 0.8 * -2)
        (1.5, -2.0, 3.0, 0, 3.0),  # a bad token made likelier: not clipped
    ],
)
def test_the_loss_by_hand_inside_and_outside_the_clip(ratio, advantage, loss, clipped, gradient):
    found = one_token(ratio, advantage)
    assert found[0] == pytest.approx(loss, rel=1e-5)
    assert found[1] == clipped
    assert found[2] == pytest.approx(gradient, rel=1e-5)


# --- the loss of a batch ---


def test_on_policy_the_gradient_is_reinforces():
    logprobs, _, advantages, mask = random_batch(0)
    clipped_loss(logprobs, logprobs.detach().clone(), advantages, mask, 0.2, 40).loss.backward()
    reinforce = -advantages[:, None] * mask / 40
    torch.testing.assert_close(logprobs.grad, reinforce.to(logprobs.grad.dtype))


@pytest.mark.parametrize("seed", range(10))
def test_the_loss_and_the_clipped_share_are_those_of_a_plain_loop(seed):
    logprobs, behaviour, advantages, mask = random_batch(seed)
    current, total, active, tokens = logprobs.detach(), 0.0, 0, 0
    for i in range(5):
        for j in range(7):
            if mask[i, j]:
                ratio = math.exp(float(current[i, j]) - float(behaviour[i, j]))
                plain, bounded = ratio * float(advantages[i]), min(max(ratio, 0.8), 1.2) * float(advantages[i])
                total, active, tokens = total - min(plain, bounded), active + (bounded < plain), tokens + 1
    terms = clipped_loss(logprobs, behaviour, advantages, mask, 0.2, 50)
    assert terms.loss.item() == pytest.approx(total / 50)
    assert terms.clipped == pytest.approx(active / tokens)


def test_the_mean_is_over_all_tokens_of_the_batch_those_of_left_out_rows_included():
    logprobs, behaviour, advantages, mask = random_batch(1)
    alone = clipped_loss(logprobs, behaviour, advantages, mask, 0.2, int(mask.sum())).loss.item()
    beside = clipped_loss(logprobs, behaviour, advantages, mask, 0.2, 3 * int(mask.sum())).loss.item()
    assert beside == pytest.approx(alone / 3)
    rows = torch.cat([advantages, torch.zeros(1, dtype=torch.float64)])
    longer = [torch.cat([part, part[:1]]) for part in (logprobs, behaviour, mask)]
    kept = clipped_loss(longer[0], longer[1], rows, longer[2], 0.2, 3 * int(mask.sum())).loss.item()
    assert kept == pytest.approx(beside)


def test_masked_positions_have_no_influence_and_no_gradient():
    logprobs, behaviour, advantages, mask = random_batch(2)
    assert not mask.all()
    terms = clipped_loss(logprobs, behaviour, advantages, mask, 0.2, 30)
    terms.loss.backward()
    assert (logprobs.grad[~mask] == 0).all()
    changed = torch.where(mask, logprobs.detach(), torch.tensor(5.0, dtype=torch.float64))
    again = clipped_loss(changed, behaviour, advantages, mask, 0.2, 30)
    assert (again.loss.item(), again.clipped) == (terms.loss.item(), terms.clipped)
