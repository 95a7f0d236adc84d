"""The updates of a training step: how many, on which rows, with which terms."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from dopr.config.recipe import Critic, Reuse
from dopr.models import checkpoint_io
from dopr.models.logprobs import completion_logprobs, logprobs_and_entropy
from dopr.models.network import Policy
from dopr.training.group import Group
from dopr.training.learner import mean_statistics, split_minibatches
from dopr.training.update import TrainingSample, UpdateStatistics
from fixture_learner import MIXED, SILENT, make_learner, make_loss, roll_out, same, weights
from fixture_rollouts import make_rollout


@pytest.fixture
def policy(tiny: Path) -> Policy:
    return checkpoint_io.load(tiny)


def mean_entropy(policy: Policy, groups: list[Group], temperature: float = 1.0) -> float:
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    with torch.no_grad():
        _, entropy, mask = logprobs_and_entropy(
            policy, [r.prompt_tokens for r in rollouts], [r.tokens for r in rollouts], temperature
        )
    return float(entropy[mask].mean())


# --- how many updates ---


@pytest.mark.parametrize(
    ("settings", "updates"),
    [
        ({}, 1),
        ({"epochs": 3}, 3),
        ({"minibatches": 4}, 4),
        ({"epochs": 3, "minibatches": 4}, 12),
        ({"reuse": Reuse(groups=2, window=4, updates=2)}, 2),
        ({"reuse": Reuse(groups=2, window=4, updates=2), "epochs": 3}, 6),
        ({"reuse": Reuse(groups=2, window=4, updates=2), "epochs": 3, "minibatches": 2}, 12),
        ({"critic": Critic(learning_rate=0.01), "epochs": 2}, 2),
    ],
)
def test_every_pass_and_every_mini_batch_is_an_update(tiny, policy, settings, updates):
    learner = make_learner(policy, **settings)
    groups = roll_out(tiny, policy, [[1.0, 0.0, 0.0, 0.5]] * 2)  # no advantage is zero
    assert learner.learn(groups, 0)[1] == updates
    assert learner.optimiser.adam.state_dict()["state"][0]["step"] == updates


@pytest.mark.parametrize("settings", [{}, {"epochs": 2, "minibatches": 2}, {"loss": make_loss(variant="gspo")}])
def test_a_step_without_signal_makes_no_update(tiny, policy, settings):
    before = weights(policy)
    statistics, updates = make_learner(policy, **settings).learn(roll_out(tiny, policy, SILENT), 0)
    assert (updates, statistics.grad_norm) == (0, 0.0)
    assert same(before, weights(policy))


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8, 11])
def test_mini_batches_hold_every_row_once_and_are_of_nearly_equal_size(count):
    rows = [TrainingSample(make_rollout(f"p{i}"), 1.0, fresh=True) for i in range(8)]
    parts = split_minibatches(rows, count, 5)
    assert sorted(row.rollout.prompt.id for part in parts for row in part) == [f"p{i}" for i in range(8)]
    sizes = [len(part) for part in parts]
    assert len(parts) == min(count, 8)
    assert max(sizes) - min(sizes) <= 1


def test_mini_batches_depend_on_their_seed_alone_and_a_single_one_keeps_the_order():
    rows = [TrainingSample(make_rollout(f"p{i}"), 1.0, fresh=True) for i in range(8)]
    assert split_minibatches(rows, 2, 5) == split_minibatches(rows, 2, 5)
    assert len({tuple(row.rollout.prompt.id for row in split_minibatches(rows, 2, seed)[0]) for seed in range(20)}) > 15
    assert split_minibatches(rows, 1, 5) == [rows]


def test_every_pass_of_every_step_is_split_anew_but_the_same_for_the_same_seed(tiny, policy):
    new = [TrainingSample(rollout, 1.0, True) for group in roll_out(tiny, policy, MIXED) for rollout in group.rollouts]

    def batches(step: int, seed: int = 0) -> list[tuple[int, ...]]:
        learner = make_learner(checkpoint_io.load(tiny), seed=seed, epochs=3, minibatches=2)
        return [tuple(new.index(row) for row in rows) for rows, _ in learner._minibatches(new, step)]

    assert batches(0) == batches(0)
    assert len({*batches(0), *batches(1), *batches(0, seed=1)}) > 12
    assert [sorted(first + second) for first, second in zip(batches(0)[::2], batches(0)[1::2], strict=True)] == [
        list(range(8))
    ] * 3


def test_every_mini_batch_has_its_share_of_the_tokens_of_its_pass(tiny, policy):
    """By which dapo averages: two mini-batches have half each, however many tokens fell to them."""
    new = [TrainingSample(rollout, 1.0, True) for group in roll_out(tiny, policy, MIXED) for rollout in group.rollouts]
    total = sum(len(row.rollout.tokens) for row in new)
    for count in (1, 2, 3):
        assert [share for _, share in make_learner(policy, minibatches=count)._minibatches(new, 0)] == [
            total / count
        ] * count


def test_passes_over_the_same_rollouts_are_held_by_the_clip(tiny, policy):
    """On policy nothing is clipped; after many passes at a high rate, much is."""
    groups = roll_out(tiny, policy, MIXED)
    assert make_learner(policy, learning_rate=0.01).learn(groups, 0)[0].clipped == 0
    assert make_learner(checkpoint_io.load(tiny), learning_rate=0.01, epochs=12).learn(groups, 0)[0].clipped > 0.1


def test_a_steps_statistics_are_means_over_its_updates_but_for_the_gap():
    first, second = UpdateStatistics(1.0, 0.0, 1e-6, 0.25, 3.0), UpdateStatistics(3.0, 0.5, 0.7, 0.75, 1.0)
    assert mean_statistics([first, second]) == UpdateStatistics(2.0, 0.25, 1e-6, 0.5, 2.0)
    assert mean_statistics([first]) == first
    assert mean_statistics([]) == UpdateStatistics()


# --- which terms ---


@pytest.mark.parametrize("rewards", [MIXED, SILENT])
@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_the_entropy_bonus_alone_raises_the_entropy_whatever_the_rewards(tiny, policy, rewards, temperature):
    groups = roll_out(tiny, policy, rewards, temperature)
    before = mean_entropy(policy, groups, temperature)
    learner = make_learner(policy, temperature, loss=make_loss(entropy=1.0, policy_gradient=False))
    assert learner.learn(groups, 0)[1] == 1
    assert mean_entropy(policy, groups, temperature) > before + 0.001


def test_rewards_are_of_no_account_without_the_policy_gradient(tiny):
    ends = []
    for rewards in (MIXED, SILENT):
        policy = checkpoint_io.load(tiny)
        learner = make_learner(policy, loss=make_loss(entropy=0.1, policy_gradient=False))
        learner.learn(roll_out(tiny, policy, rewards), 0)
        ends.append(weights(policy))
    assert same(*ends)


def test_the_entropy_is_that_of_the_distribution_at_the_sampling_temperature(tiny, policy):
    rollout = roll_out(tiny, policy, [[1.0]])[0].rollouts[0]
    logprobs, entropy, mask = logprobs_and_entropy(policy, [rollout.prompt_tokens], [rollout.tokens], 0.5)
    with torch.no_grad():
        logits = policy.network(torch.tensor([[*rollout.prompt_tokens, *rollout.tokens]])).logits
        chances = (logits[0, len(rollout.prompt_tokens) - 1 : -1] / 0.5).softmax(-1)
    torch.testing.assert_close(entropy[0], torch.distributions.Categorical(chances).entropy(), rtol=1e-4, atol=1e-4)
    assert torch.equal(logprobs, completion_logprobs(policy, [rollout.prompt_tokens], [rollout.tokens], 0.5)[0])
    assert mask.all()


def test_at_the_start_the_divergence_and_its_gradient_are_zero(tiny, policy):
    learner = make_learner(policy, loss=make_loss(kl=1.0, policy_gradient=False))
    statistics, updates = learner.learn(roll_out(tiny, policy, SILENT), 0)
    assert (updates, statistics.kl) == (1, 0.0)
    assert statistics.grad_norm < 1e-6


def test_the_divergence_pulls_back_to_the_starting_policy(tiny, policy):
    """The learner is made with the starting policy; the policy then goes away, and KL alone brings it back."""
    learner = make_learner(policy, loss=make_loss(kl=1.0, policy_gradient=False))
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.07 * torch.randn(weight.shape, generator=noise)
    groups = roll_out(tiny, policy, SILENT)
    found = [learner.learn(groups, step)[0].kl for step in range(15)]
    assert found[0] > 0.05
    assert found[-1] < found[0] / 2


def test_the_gradient_of_the_divergence_is_its_slope(tiny, policy):
    """By a finite difference along the gradient, of k3 as it is defined."""
    learner = make_learner(policy, loss=make_loss(kl=1.0, policy_gradient=False), max_grad_norm=1e9)
    noise = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.05 * torch.randn(weight.shape, generator=noise)
    start, groups = copy.deepcopy(policy), roll_out(tiny, policy, SILENT)
    rollouts = [rollout for group in groups for rollout in group.rollouts]
    parts = ([rollout.prompt_tokens for rollout in rollouts], [rollout.tokens for rollout in rollouts], 1.0)
    norm = learner.learn(groups, 0)[0].grad_norm
    gradients = {name: weight.grad for name, weight in policy.named_parameters()}

    def divergence(distance: float) -> float:
        moved = copy.deepcopy(start)
        with torch.no_grad():
            for name, weight in moved.named_parameters():
                weight += distance * gradients[name] / norm
            logprobs, mask = completion_logprobs(moved, *parts)
            difference = (completion_logprobs(learner.objective.reference, *parts)[0] - logprobs).double()
            return float((difference.exp() - difference - 1)[mask].mean())

    slope = (divergence(0.01) - divergence(-0.01)) / 0.02
    assert slope == pytest.approx(norm, rel=0.01)


def test_rows_without_signal_are_computed_where_another_term_is_on(tiny, policy):
    groups = roll_out(tiny, policy, [MIXED[0], SILENT[1]])
    rows = [row for group in make_learner(policy)._compute_advantages(groups) for row in group]
    for loss, expected in ((make_loss(), 4), (make_loss(kl=0.1), 8), (make_loss(entropy=0.1), 8)):
        assert len(make_learner(checkpoint_io.load(tiny), loss=loss).objective.contributing(rows)) == expected


def test_truncated_completions_take_no_part_where_they_are_masked(tiny, policy):
    groups = roll_out(tiny, policy, MIXED)
    cut = [Group.from_rollouts((), [replace(r, finish="length") for r in group.rollouts]) for group in groups]
    before = weights(policy)
    masked = make_loss(mask_truncated=True, entropy=0.1)
    assert make_learner(policy, loss=masked).learn(cut, 0)[1] == 0
    assert same(before, weights(policy))
    assert make_learner(policy, loss=make_loss(entropy=0.1)).learn(cut, 0)[1] == 1


# --- rejection sampling ---


def test_rejection_sampling_makes_rewarded_completions_likelier_and_sees_no_others(tiny, policy):
    groups = roll_out(tiny, policy, MIXED)
    right = [rollout for group in groups for rollout in group.rollouts if rollout.reward]
    parts = ([rollout.prompt_tokens for rollout in right], [rollout.tokens for rollout in right], 1.0)
    ends = []
    for dropped in (False, True):
        trained = checkpoint_io.load(tiny)
        kept = [Group.from_rollouts((), [r for r in group.rollouts if r.reward or not dropped]) for group in groups]
        make_learner(trained, loss=make_loss(variant="rft")).learn(kept, 0)
        ends.append(weights(trained))
    assert same(*ends)
    trained.network.load_state_dict(ends[0])
    with torch.no_grad():
        before, after = (completion_logprobs(each, *parts)[0].sum() for each in (policy, trained))
    assert after > before + 0.1


def test_rejection_sampling_learns_from_groups_that_are_all_right_and_none_that_are_all_wrong(tiny, policy):
    learner = make_learner(policy, loss=make_loss(variant="rft"))
    assert learner.learn(roll_out(tiny, policy, [[1.0] * 4] * 2), 0)[1] == 1
    assert learner.learn(roll_out(tiny, policy, [[0.0] * 4] * 2), 1)[1] == 0


def test_rejection_sampling_with_replay_learns_when_nothing_new_is_rewarded(tiny, policy):
    learner = make_learner(policy, loss=make_loss(variant="rft"), reuse=Reuse(groups=2, window=4))
    learner.learn(roll_out(tiny, policy, MIXED), 0)
    statistics, updates = learner.learn(roll_out(tiny, policy, [[0.0] * 4] * 2, seed=2), 1)
    assert updates == 1
    assert 0 < statistics.gap.high < 1e-5  # of a new rollout, though none is learned from


# --- the log-probability gap ---


@pytest.mark.parametrize("temperature", [1.0, 0.6])
@pytest.mark.parametrize(
    "settings",
    [
        {"epochs": 3},
        {"reuse": Reuse(groups=2, window=4, updates=3)},
        {"loss": make_loss(variant="gspo", kl=0.1, entropy=0.1)},
        {"critic": Critic(learning_rate=0.01)},
    ],
)
def test_at_a_tiny_learning_rate_sampler_and_trainer_agree_in_every_step(tiny, policy, temperature, settings):
    learner = make_learner(policy, temperature, learning_rate=1e-12, **settings)
    for step, rewards in enumerate((MIXED, SILENT, MIXED)):
        statistics, updates = learner.learn(roll_out(tiny, policy, rewards, temperature, seed=step), step)
        assert 0 <= statistics.gap.high < 1e-5
        assert statistics.clipped == 0
        assert updates or rewards is SILENT


def test_the_gap_of_new_rollouts_shows_though_only_replayed_ones_are_computed(tiny, policy):
    learner = make_learner(policy, learning_rate=1e-12, reuse=Reuse(groups=2, window=4))
    learner.learn(roll_out(tiny, policy, MIXED), 0)
    groups = roll_out(tiny, policy, SILENT, seed=2)
    first, *others = groups[0].rollouts
    moved = replace(first, logprobs=tuple(value - 0.25 for value in first.logprobs))
    groups[0] = Group.from_rollouts((), [moved, *others])
    statistics, updates = learner.learn(groups, 1)
    assert (updates, statistics.gap.high) == (1, pytest.approx(0.25, abs=1e-4))
