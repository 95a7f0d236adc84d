"""Advantages by hand, by their properties, and what is done to rewards before."""

from __future__ import annotations

import math
from typing import Any

import pytest

from dopr.config.recipe import Loss
from dopr.training.advantages import compute_advantages, group_advantages, overlong_penalty
from dopr.training.group import Group
from fixture_rollouts import make_rollout


def make_loss(**changes: Any) -> Loss:
    return Loss(**{"variant": "dapo", "clip_low": 0.2, "clip_high": 0.2, "advantage_epsilon": 1e-4, **changes})


def of_group(rewards: list[float], epsilon: float = 1e-12) -> list[float]:
    return group_advantages([rewards], "group", epsilon)[0]


def test_advantages_by_hand():
    # Rewards 1, 0, 0, 0: mean 1/4, sum of squares 3/4, std sqrt((3/4) / 3) = 1/2.
    assert of_group([1, 0, 0, 0]) == pytest.approx([1.5, -0.5, -0.5, -0.5])
    assert of_group([1, 0, 0, 0], 0.5) == pytest.approx([0.75, -0.25, -0.25, -0.25])
    assert of_group([1, 0]) == pytest.approx([math.sqrt(0.5), -math.sqrt(0.5)])


def test_advantages_of_several_groups_by_hand():
    groups = [[1, 0, 0, 0], [1, 1]]
    # All six: mean 1/2, sum of squares 6/4, std sqrt((6/4) / 5).
    wide = math.sqrt(0.3)
    expected = {"none": 1.0, "batch": wide, "group": 0.5}
    for scale, divisor in expected.items():
        found = group_advantages(groups, scale, 1e-12)
        assert found[0] == pytest.approx([0.75 / divisor, *[-0.25 / divisor] * 3])
        assert found[1] == [0.0, 0.0]


@pytest.mark.parametrize("correct", range(9))
def test_advantages_sum_to_zero_and_are_all_zero_when_the_rewards_agree(correct):
    advantages = of_group([1.0] * correct + [0.0] * (8 - correct), 1e-4)
    assert sum(advantages) == pytest.approx(0, abs=1e-12)
    assert all(advantage == 0.0 for advantage in advantages) == (correct in (0, 8))


@pytest.mark.parametrize("reward", [0.1, 0.3, 1 / 3])
@pytest.mark.parametrize("size", [1, 2, 3, 6, 7, 10])
@pytest.mark.parametrize("scale", ["group", "batch", "none"])
def test_equal_rewards_have_advantage_zero_to_the_last_bit(reward, size, scale):
    assert group_advantages([[reward] * size, [0.0, 1.0]], scale, 1e-4)[0] == [0.0] * size


def test_advantages_do_not_depend_on_the_scale_or_the_origin_of_the_rewards_where_they_are_divided():
    assert of_group([5, 7, 11, 5]) == pytest.approx(of_group([0, 1, 3, 0]))
    assert group_advantages([[5, 7, 11, 5]], "none", 1) == [
        [2 * a for a in group_advantages([[0, 1, 3, 0]], "none", 1)[0]]
    ]


def test_the_overlong_penalty_by_hand():
    assert [overlong_penalty(length, 10, 4) for length in (1, 6, 7, 8, 10)] == [0, 0, -0.25, -0.5, -1]
    assert overlong_penalty(10, 10, 0) == 0


def test_the_penalty_is_taken_from_the_reward_that_is_learned_from():
    rollouts = [make_rollout(tokens=(5,) * length, logprobs=(-1.0,) * length) for length in (4, 10)]
    group = Group.from_rollouts((), rollouts)
    (rows,) = compute_advantages([group], make_loss(overlong_buffer=4, advantage_scale="none"), 10)
    assert [row.advantage for row in rows] == pytest.approx([0.5, -0.5])  # rewards 1 and 0
    assert [row.rollout.reward for row in rows] == [1.0, 0.0]
    assert [rollout.reward for rollout in rollouts] == [1.0, 1.0]
    assert [row.advantage for row in compute_advantages([group], make_loss(), 10)[0]] == [0.0, 0.0]


def test_rejection_sampling_keeps_what_was_rewarded_with_weight_one():
    some = [make_rollout("p", reward=reward, sample=i) for i, reward in enumerate((0.0, 1.0, 0.5))]
    none = [make_rollout("q", reward=0.0), make_rollout("q", reward=-1.0)]
    groups = [Group.from_rollouts((), rollouts) for rollouts in (some, none)]
    weighed = compute_advantages(groups, make_loss(variant="rft"), 10)
    assert [[(row.rollout.sample, row.advantage) for row in group] for group in weighed] == [[(1, 1.0), (2, 1.0)], []]


@pytest.mark.parametrize("variant", ["dapo", "rft"])
def test_only_rollouts_of_this_step_are_fresh(variant):
    rollouts = [make_rollout(reward=float(i % 2), sample=i) for i in range(4)]
    group = Group.from_rollouts(rollouts[:2], rollouts[2:])
    (rows,) = compute_advantages([group], make_loss(variant=variant), 10)
    assert {row.rollout.sample: row.fresh for row in rows if row.advantage > 0} == {1: False, 3: True}
