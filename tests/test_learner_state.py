"""The learner in bfloat16, and stopped and restored: to the last bit in both number formats."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from dopr.config.recipe import Critic, Lora, Reuse
from dopr.models import checkpoint_io
from dopr.models.network import Policy
from dopr.rollout.torch_engine import TorchEngine
from dopr.training.learner import Learner
from fixture_learner import MIXED, make_learner, make_loss, roll_out, same, weights


@pytest.fixture
def policy(tiny: Path) -> Policy:
    return checkpoint_io.load(tiny)


# --- bfloat16 ---


def test_a_bfloat16_policy_samples_learns_and_agrees_to_its_precision(tiny, policy):
    learner = make_learner(policy, dtype="bfloat16", learning_rate=1e-4)
    groups = roll_out(tiny, policy, MIXED)
    statistics, updates = learner.learn(groups, 0)
    assert updates == 1
    assert 0 < statistics.gap.high < 0.1
    assert {weight.dtype for weight in policy.parameters()} == {torch.bfloat16}
    assert {master.dtype for master in learner.optimiser.masters} == {torch.float32}


def test_a_bfloat16_policy_learns_what_a_float32_one_learns(tiny):
    """After some updates, the masters are near the float32 policy, nearer than a bfloat16 step could bring them."""
    policies = {dtype: checkpoint_io.load(tiny) for dtype in ("float32", "bfloat16")}
    start = torch.cat([weight.detach().flatten() for weight in policies["float32"].parameters()])
    ends = {}
    for dtype, policy in policies.items():
        learner = make_learner(policy, dtype=dtype, learning_rate=1e-4)
        groups = roll_out(tiny, checkpoint_io.load(tiny), MIXED)
        for step in range(5):
            learner.learn(groups, step)
        ends[dtype] = torch.cat([master.detach().flatten() for master in learner.optimiser.masters])
    moved = [ends[dtype] - start for dtype in ("float32", "bfloat16")]
    assert torch.nn.functional.cosine_similarity(*moved, dim=0) > 0.8


def test_a_saved_bfloat16_policy_is_loaded_by_transformers_and_by_the_sampler(tiny, policy, tmp_path):
    from transformers import AutoModelForCausalLM

    learner = make_learner(policy, dtype="bfloat16")
    learner.learn(roll_out(tiny, policy, MIXED), 0)
    checkpoint_io.save(policy, tmp_path / "saved", like=tiny)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
    assert theirs.dtype == torch.bfloat16
    assert all(torch.equal(weight, policy.network.state_dict()[name]) for name, weight in theirs.named_parameters())
    again = checkpoint_io.load(tmp_path / "saved")
    assert same({name: weight.bfloat16() for name, weight in weights(again).items()}, weights(policy))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        ours = policy.network(ids).logits.float()
        torch.testing.assert_close(ours, theirs(ids).logits.float(), atol=0.05, rtol=0.05)
    drawn = [TorchEngine.from_folder(tmp_path / "saved").generate([[5, 6, 7]], 4, 1.0, 8, seed=3) for _ in range(2)]
    assert drawn[0] == drawn[1]


# --- resuming ---


@pytest.mark.parametrize(
    "settings",
    [
        {"dtype": "bfloat16", "learning_rate": 1e-5},
        {"epochs": 2, "minibatches": 2, "reuse": Reuse(groups=2, window=4)},
        {"critic": Critic(learning_rate=0.01), "epochs": 2, "minibatches": 2},
        {"critic": Critic(learning_rate=0.01), "reuse": Reuse(groups=2, window=4), "dtype": "bfloat16"},
        {"loss": make_loss(variant="gspo", kl=0.1, entropy=0.01)},
        {"loss": make_loss(variant="rft"), "reuse": Reuse(groups=2, window=4, updates=2)},
        {"lora": Lora(rank=4, alpha=8), "loss": make_loss(kl=0.1), "critic": Critic(learning_rate=0.01)},
        {"lora": Lora(rank=4, alpha=8), "dtype": "bfloat16", "micro_batch_tokens": 60, "gradient_checkpointing": True},
    ],
)
def test_a_restored_learner_goes_on_bit_for_bit(tiny, tmp_path, settings):
    """Sampled anew in every step from the policy as it is, so that any difference would grow."""
    whole, resumed = (make_learner(checkpoint_io.load(tiny), **settings) for _ in range(2))

    def steps(learner: Learner, *places: int) -> list[Any]:
        return [learner.learn(roll_out(tiny, learner.policy, MIXED, seed=step), step) for step in places]

    steps(whole, 0, 1, 2)
    torch.save(whole.state_dict(), tmp_path / "state.pt")
    resumed.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=True))
    assert same(weights(whole.policy), weights(resumed.policy))
    assert steps(whole, 3, 4) == steps(resumed, 3, 4)
    assert same(weights(whole.policy), weights(resumed.policy))
    masters = zip(whole.optimiser.masters, resumed.optimiser.masters, strict=True)
    assert all(torch.equal(first, second) for first, second in masters)
