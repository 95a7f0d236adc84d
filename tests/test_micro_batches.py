"""Micro-batches: how rows are cut, and that an update is the same with and without them, whatever it minimises."""

from __future__ import annotations

import random
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import pytest
import torch

from dopr.config.recipe import Critic, Reuse
from dopr.models import checkpoint_io
from dopr.models.network import Policy
from dopr.records import Rollout
from dopr.training import critic as critic_module
from dopr.training import update as update_module
from dopr.training.group import Group
from dopr.training.loss import VARIANTS
from dopr.training.micro_batches import split_micro_batches
from dopr.training.optimiser import Optimiser
from dopr.training.update import TrainingSample, UpdateStatistics
from fixture_learner import make_learner, make_loss
from fixture_rollouts import make_rollout

MOST = 40  # padded tokens a part, against rows of 8 to 50


def rollouts(*lengths: int) -> list[Rollout]:
    """Each with a prompt of two tokens."""
    return [make_rollout(f"p{i}", tokens=(5,) * (n - 2), logprobs=(-1.0,) * (n - 2)) for i, n in enumerate(lengths)]


# --- cutting ---


def test_rows_are_cut_longest_first_and_a_row_beyond_the_limit_is_alone() -> None:
    """At most 12 padded tokens: 20 alone; 6 + 6; 5 + 4, as three rows would be padded to 15; 3 + 3."""
    assert split_micro_batches(rollouts(3, 6, 20, 4, 6, 5, 3), 12) == [[2], [1, 4], [5, 3], [0, 6]]


def test_without_a_limit_all_rows_are_one_part_in_their_order() -> None:
    assert split_micro_batches(rollouts(3, 6, 20), None) == [[0, 1, 2]]


@pytest.mark.parametrize("most", [1, 17, 64, 1000])
def test_every_row_is_in_one_part_and_no_part_of_several_exceeds_the_limit(most: int) -> None:
    rng = random.Random(most)
    lengths = [rng.randint(3, 50) for _ in range(40)]
    parts = split_micro_batches(rollouts(*lengths), most)
    assert sorted(place for part in parts for place in part) == list(range(40))
    assert all(len(part) == 1 or len(part) * max(lengths[i] for i in part) <= most for part in parts)


# --- parity ---


@pytest.fixture
def starting(tiny: Path) -> Policy:
    return checkpoint_io.load(tiny)


def moved(policy: Policy, size: float = 0.05) -> Policy:
    """The policy a little off, so that ratios and the divergence are not trivial."""
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += size * torch.randn(weight.shape, generator=noise)
    return policy


def groups_of(starting: Policy) -> list[Group]:
    """Five groups of four, of one prompt each: a long row, short ones, cut ones, and a group without signal."""
    rng = random.Random(3)
    found = []
    for i in range(5):
        prompt, rewards = tuple(rng.choices(range(3, 40), k=rng.randint(3, 12))), [1.0, 0.0, 0.0, 0.0 if i % 2 else 1.0]
        group = []
        for j, reward in enumerate(rewards):
            tokens = tuple(rng.choices(range(3, 40), k=45 if (i, j) == (1, 2) else rng.randint(1, 14)))
            stored = tuple(rng.uniform(-4.5, -2.5) for _ in tokens)
            finish = "length" if len(tokens) > 11 else "stop"
            group.append(make_rollout(f"p{i}", sample=j, prompt_tokens=prompt, tokens=tokens, logprobs=stored,
                                      finish=finish, reward=1.0 if i == 4 else reward))  # fmt: skip
        found.append(Group.from_rollouts((), group))
    return found


class Watched(Optimiser):
    """An optimiser that keeps what each step was told."""

    def step(self, losses: Any, step: int) -> tuple[float, float]:
        graphs = list(losses)  # as many as there are parts
        found = super().step(graphs, step)
        self.__dict__.setdefault("seen", []).append((len(graphs), found[0], self.gradients()))
        return found

    def gradients(self) -> list[torch.Tensor]:
        return [torch.zeros_like(w) if w.grad is None else w.grad.clone() for w in self.masters]


def learned(tiny: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[list[Any], UpdateStatistics]:
    """Parts, loss and gradients of the first optimiser step of policy (and critic), and the step's statistics."""
    for place in ("dopr.training.learner.Optimiser", "dopr.training.critic.Optimiser"):
        monkeypatch.setattr(place, Watched)
    policy = checkpoint_io.load(tiny)
    learner = make_learner(policy, 0.8, max_grad_norm=1e9, learning_rate=1e-4, **settings)
    moved(policy)
    statistics, updates = learner.learn(groups_of(policy), 0)
    assert updates >= 1
    seen = [learner.optimiser.seen[0]]  # type: ignore[attr-defined]
    return seen + ([learner.critic.optimiser.seen[0]] if learner.critic else []), statistics  # type: ignore[attr-defined]


CASES = {
    **{name: {"loss": make_loss(variant=name)} for name in VARIANTS},
    **{f"{name}, every term": {"loss": make_loss(variant=name, kl=0.3, entropy=0.1)} for name in VARIANTS},
    **{f"{name}, masked": {"loss": make_loss(variant=name, kl=0.3, mask_truncated=True)} for name in VARIANTS},
    "kl alone": {"loss": make_loss(kl=0.3, policy_gradient=False)},
    "entropy alone": {"loss": make_loss(entropy=0.3, policy_gradient=False)},
    "batch scale": {"loss": make_loss(advantage_scale="batch")},
    "two mini-batches": {"loss": make_loss(), "minibatches": 2},
    "critic": {"loss": make_loss(kl=0.1), "critic": Critic(learning_rate=1e-3)},
    "critic, grpo": {"loss": make_loss(variant="grpo"), "critic": Critic(learning_rate=1e-3, gae_lambda=0.9)},
}


@pytest.mark.parametrize("name", CASES)
def test_loss_gradients_and_statistics_are_those_of_the_whole(
    tiny: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole, expected = learned(tiny, monkeypatch, **CASES[name])
    parts, found = learned(tiny, monkeypatch, micro_batch_tokens=MOST, **CASES[name])
    assert len(whole) == len(parts)
    for (one, loss, gradients), (several, loss_in_parts, gradients_in_parts) in zip(whole, parts, strict=True):
        assert one == 1
        assert several >= 2
        assert loss_in_parts == pytest.approx(loss, rel=1e-5, abs=1e-6)
        largest = max(float(gradient.abs().max()) for gradient in gradients)
        assert largest > 0
        for first, second in zip(gradients, gradients_in_parts, strict=True):
            torch.testing.assert_close(second, first, rtol=1e-3, atol=2e-6 * largest)
    assert asdict(found.gap) == pytest.approx(asdict(expected.gap), rel=1e-4, abs=1e-6)
    for key in ("grad_norm", "clipped", "kl", "value_loss"):
        assert getattr(found, key) == pytest.approx(getattr(expected, key), rel=1e-4, abs=1e-7), key
    if "loss" in CASES[name] and CASES[name]["loss"].kl and not CASES[name]["loss"].mask_truncated:
        assert expected.kl > 0.001


def test_the_clip_is_counted_over_all_tokens(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, found = learned(tiny, monkeypatch, micro_batch_tokens=MOST)
    assert 0.1 < found.clipped < 0.9


def test_a_critic_values_rows_in_parts_as_it_does_together(starting: Policy) -> None:
    rows = [TrainingSample(rollout, 0.0, fresh=True) for group in groups_of(starting) for rollout in group.rollouts]
    whole, parts = (
        make_learner(starting, critic=Critic(learning_rate=0.01), micro_batch_tokens=most).critic
        for most in (None, MOST)
    )
    for step in range(3):  # until its values are not all zero
        whole.learn(whole.estimate_advantages(rows), step)
    parts.load_state_dict(whole.state_dict())
    for first, second in zip(whole.estimate_advantages(rows), parts.estimate_advantages(rows), strict=True):
        assert first.rollout == second.rollout
        assert len(first.critic_output.values) == len(first.rollout.tokens)
        assert second.critic_output.values == pytest.approx(first.critic_output.values, abs=1e-5)
        assert second.critic_output.advantages == pytest.approx(first.critic_output.advantages, abs=1e-4)
    assert max(abs(value) for row in whole.estimate_advantages(rows) for value in row.critic_output.values) > 0.05


def test_no_more_than_the_limit_is_computed_at_once(starting: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    """In updates, for the reference, and for the critic, whichever of them asks."""
    sizes: list[int] = []
    for module, name in ((update_module, "completion_logprobs"), (critic_module, "pack")):
        inner = getattr(module, name)

        def noted(*given: Any, inner: Any = inner, place: int = inner.__code__.co_varnames.index("prompts")) -> Any:
            lengths = [len(prompt) + len(tokens) for prompt, tokens in zip(*given[place : place + 2], strict=True)]
            sizes.append(0 if len(lengths) == 1 else len(lengths) * max(lengths))
            return inner(*given)

        monkeypatch.setattr(module, name, noted)
    learner = make_learner(
        starting,
        loss=make_loss(kl=0.1),
        critic=Critic(learning_rate=0.01),
        reuse=Reuse(groups=2, window=4),
        micro_batch_tokens=MOST,
    )
    groups = groups_of(starting)
    for step in range(2):
        learner.learn(groups, step)
    assert len(sizes) > 40
    assert 20 < max(sizes) <= MOST


def test_a_stored_log_probability_that_is_not_finite_stops_the_run_in_whichever_part_it_is(
    starting: Policy,
) -> None:
    groups = groups_of(starting)
    shortest = min((rollout for group in groups[:4] for rollout in group.rollouts), key=lambda r: len(r.tokens))
    silent = replace(shortest, logprobs=(float("nan"),) * len(shortest.tokens))
    broken = [Group.from_rollouts((), [silent if r is shortest else r for r in g.rollouts]) for g in groups]
    before = starting.network.model.embed_tokens.weight.clone()
    with pytest.raises(FloatingPointError, match="step 1: a rollout's log-probability or advantage is not finite"):
        make_learner(starting, loss=make_loss(kl=0.1), micro_batch_tokens=MOST).learn(broken, 0)
    assert torch.equal(starting.network.model.embed_tokens.weight, before)
