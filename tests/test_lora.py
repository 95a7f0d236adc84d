"""Low-rank adapters: what is trained, its gradient, the reference without a copy, and checkpoints peft also loads."""

from __future__ import annotations

import copy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from dopr.config.recipe import Critic, Lora
from dopr.config.schema import ConfigError
from dopr.files import read_json
from dopr.models import checkpoint_io, lora
from dopr.models.logprobs import completion_logprobs
from dopr.models.lora import AdapterError, PolicyWeights, add_adapters, without_adapters
from dopr.models.network import Policy
from dopr.training.group import Group
from dopr.workflow.preflight import check_packages, open_config
from fixture_learner import MIXED, make_learner, make_loss, roll_out, same, weights

pytest.importorskip("peft")
CLOSE = {"atol": 1e-5, "rtol": 1e-5}
SETTINGS = Lora(rank=3, alpha=6)
PROJECTIONS = ["down_proj", "gate_proj", "k_proj", "o_proj", "q_proj", "up_proj", "v_proj"]
ROUNDINGS = 22  # of a layer in bfloat16: seven merged weights, and the results of fifteen operations one after another
IDS = torch.randint(3, 40, (3, 12), generator=torch.Generator().manual_seed(0))


@pytest.fixture
def policy(tiny: Path) -> Policy:
    return checkpoint_io.load(tiny)


def logits(policy: Policy, ids: Tensor = IDS) -> Tensor:
    return policy.network(ids).logits


def merged(policy: Policy) -> dict[str, Tensor]:
    return dict(PolicyWeights(policy.network).merged())


def scattered(policy: Policy, settings: Lora = SETTINGS) -> Policy:
    """An adapted copy whose adapters do something."""
    changed = copy.deepcopy(policy)
    add_adapters(changed.network, settings, seed=0)
    noise = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for name, weight in changed.named_parameters():
            if ".lora_" in name:
                weight += 0.2 * torch.randn(weight.shape, generator=noise)
    return changed


def trained(policy: Policy) -> list[str]:
    return names_of_trained(policy.network)


def names_of_trained(network: torch.nn.Module) -> list[str]:
    return [name for name, weight in network.named_parameters() if weight.requires_grad]


# --- the adapted network ---


def test_it_starts_as_the_policy_it_was_made_from(policy: Policy) -> None:
    before, start = merged(policy), logits(policy)
    before = {name: weight.clone() for name, weight in before.items()}
    add_adapters(policy.network, SETTINGS, seed=0)
    assert merged(policy).keys() == before.keys()
    assert same(merged(policy), before)
    torch.testing.assert_close(logits(policy), start, **CLOSE)


def test_without_adapters_the_state_dict_is_the_policys_own(policy: Policy) -> None:
    own = policy.network.state_dict()
    assert all(weight.data_ptr() == own[name].data_ptr() for name, weight in merged(policy).items())
    assert own.keys() - merged(policy).keys() == {"lm_head.weight"}  # which is tied


def test_merged_weights_are_the_adapted_network_and_off_it_is_the_old_one(reference: Any) -> None:
    """For every kind of network, with biases and grouped heads; merged by hand too."""
    changed, plain = scattered(reference.policy), copy.deepcopy(reference.policy)
    ids = IDS % 50
    expected = logits(changed, ids)
    plain.network.load_state_dict(merged(changed), strict=False)
    torch.testing.assert_close(logits(plain, ids), expected, **CLOSE)
    assert not torch.allclose(expected, logits(reference.policy, ids), atol=0.1)
    with without_adapters(changed.network):
        torch.testing.assert_close(logits(changed, ids), logits(reference.policy, ids), **CLOSE)
    assert torch.equal(logits(changed, ids), expected)
    projection = changed.network.model.layers[1].mlp.down_proj
    by_hand = projection.base_layer.weight + 6 / 3 * (
        projection.lora_B["default"].weight @ projection.lora_A["default"].weight
    )
    torch.testing.assert_close(merged(changed)["model.layers.1.mlp.down_proj.weight"], by_hand)


def test_merged_weights_are_made_when_they_are_asked_for(policy: Policy, monkeypatch: pytest.MonkeyPatch) -> None:
    changed = scattered(policy)
    layer = changed.network.model.layers[1].mlp.down_proj
    made, delta = [], layer.get_delta_weight
    monkeypatch.setattr(layer, "get_delta_weight", lambda adapter: made.append(adapter) or delta(adapter))
    lazy = PolicyWeights(changed.network).merged()
    assert not made
    found = {}
    for name, weight in lazy:
        found[name] = weight
        assert bool(made) is ("model.layers.1.mlp.down_proj.weight" in found)
    assert torch.equal(found["model.layers.1.mlp.down_proj.weight"], layer.base_layer.weight + delta("default"))
    assert found["model.norm.weight"].data_ptr() == changed.network.model.norm.weight.data_ptr()
    assert made == ["default"]


def test_adapters_follow_from_the_seed_alone_and_leave_other_random_numbers_alone(policy: Policy) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    found = []
    for seed in (0, 0, 1):
        torch.manual_seed(5)
        adapted = copy.deepcopy(policy)
        add_adapters(adapted.network, SETTINGS, seed)
        assert torch.equal(torch.rand(1), expected)
        found.append(adapted.network.state_dict()["model.layers.0.self_attn.q_proj.lora_A.default.weight"])
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])


def test_only_the_projections_named_get_one(policy: Policy) -> None:
    add_adapters(policy.network, Lora(rank=3, alpha=6, targets=["v_proj", "up_proj"]), seed=0)
    expected = [
        f"model.layers.{i}.{place}.lora_{side}.default.weight"
        for i in range(2)
        for place in ("self_attn.v_proj", "mlp.up_proj")
        for side in "AB"
    ]
    assert trained(policy) == expected


# --- learning ---


def test_gradients_are_those_of_the_whole_weight_projected(policy: Policy) -> None:
    """dL/dB = s dL/dW A', dL/dA = s B' dL/dW, of the plain network with the merged weights."""
    changed, plain = scattered(policy), copy.deepcopy(policy)
    plain.network.load_state_dict(merged(changed), strict=False)
    for network in (changed, plain):
        logits(network).log_softmax(-1)[..., 7].mean().backward()
    for name, module in changed.network.named_modules():
        if hasattr(module, "lora_A"):
            a, b = module.lora_A["default"].weight, module.lora_B["default"].weight
            whole = plain.network.get_parameter(f"{name}.weight").grad
            torch.testing.assert_close(b.grad, 2 * whole @ a.T, rtol=1e-3, atol=1e-7)
            torch.testing.assert_close(a.grad, 2 * b.T @ whole, rtol=1e-3, atol=1e-7)
    assert all(weight.grad is None for name, weight in changed.named_parameters() if ".lora_" not in name)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_only_adapters_are_moved_and_remembered(tiny: Path, policy: Policy, dtype: str) -> None:
    """A layer of the tiny policy: four projections of 32 x 32, three of 32 x 48; rank 3; two layers."""
    learner = make_learner(policy, lora=SETTINGS, dtype=dtype)
    before = weights(policy)
    assert learner.learn(roll_out(tiny, policy, MIXED), 0)[1] == 1
    moved = [name for name, weight in before.items() if not torch.equal(weight, policy.network.state_dict()[name])]
    assert moved
    assert set(moved) <= set(trained(policy))
    count = 2 * (4 * 3 * (32 + 32) + 3 * 3 * (32 + 48))
    state = learner.state_dict()["policy"]
    assert sum(weight.numel() for weight in state["weights"]) == count
    assert {weight.dtype for weight in state["weights"]} == {torch.float32}
    assert sum(part["exp_avg"].numel() for part in state["adam"]["state"].values()) == count


def test_a_critic_has_adapters_too_and_a_head_of_its_own(tiny: Path, policy: Policy) -> None:
    learner = make_learner(policy, lora=SETTINGS, critic=Critic(learning_rate=0.01))
    assert names_of_trained(learner.critic.network) == [
        f"trunk.{name.removeprefix('model.')}" for name in trained(policy)
    ] + [
        "head.weight",
        "head.bias",
    ]
    groups = roll_out(tiny, policy, MIXED)
    losses = [learner.learn(groups, step)[0].value_loss for step in range(15)]
    assert losses[-1] < 0.7 * losses[0]


def test_the_policy_with_its_adapters_off_is_the_reference(tiny: Path, policy: Policy) -> None:
    starting = copy.deepcopy(policy)
    learner = make_learner(policy, lora=SETTINGS, loss=make_loss(kl=0.1), learning_rate=0.01)
    assert learner.objective.reference is policy
    found = []
    for step in range(4):
        groups = roll_out(tiny, policy, MIXED, seed=step)
        rollouts = [rollout for group in groups for rollout in group.rollouts]
        parts = [rollout.prompt_tokens for rollout in rollouts], [rollout.tokens for rollout in rollouts], 1.0
        with torch.no_grad():
            now, mask = completion_logprobs(policy, *parts)
            difference = completion_logprobs(starting, *parts)[0] - now
        expected = float(((difference.exp() - difference - 1) * mask).sum() / mask.sum())
        found.append(learner.learn(groups, step)[0].kl)
        assert found[-1] == pytest.approx(expected, rel=1e-3, abs=1e-7)
    assert found[-1] > 1e-3


def share_of_even(tokens: tuple[int, ...]) -> float:
    return sum(token % 2 == 0 for token in tokens) / len(tokens)


def test_a_run_with_adapters_raises_its_reward(tiny: Path, policy: Policy) -> None:
    """The reward is the share of even tokens. Sampled anew in every step, by the torch engine from the adapted network.

    The embeddings, which stay as they are, are made large enough to tell tokens apart.
    """
    with torch.no_grad():
        policy.network.model.embed_tokens.weight *= 5
    learner = make_learner(policy, lora=Lora(rank=4, alpha=16), learning_rate=0.01, loss=make_loss(kl=0.001))
    rewards = []
    for step in range(25):
        drawn = roll_out(tiny, policy, [[0.0] * 16] * 2, seed=step)
        groups = [
            Group.from_rollouts((), [replace(r, reward=share_of_even(r.tokens)) for r in group.rollouts])
            for group in drawn
        ]
        rewards.append(sum(rollout.reward for group in groups for rollout in group.rollouts) / 32)
        assert learner.learn(groups, step)[0].gap.high < 1e-4
    assert sum(rewards[:3]) / 3 < 0.55
    assert sum(rewards[-3:]) / 3 > 0.65


# --- checkpoints ---


def rounding(logits: Tensor, layers: int) -> float:
    """How far two computations in bfloat16 may be apart, if all roundings of both add up; the three are of the
    embedding, the last norm and the head."""
    return 2 * (ROUNDINGS * layers + 3) * torch.finfo(torch.bfloat16).eps / 2 * float(logits.std())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_checkpoint_is_merged_and_its_adapter_gives_the_same_on_the_base(
    reference: Any, tmp_path: Path, dtype: torch.dtype
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    changed = scattered(reference.policy).to(dtype)
    checkpoint_io.save(changed, tmp_path / "saved", like=reference.folder)
    ids = IDS % 50
    with torch.no_grad():
        expected = logits(changed, ids).float()
        whole = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")
        base = AutoModelForCausalLM.from_pretrained(reference.folder, dtype=dtype)
        before = base(ids).logits.float()
        theirs = PeftModel.from_pretrained(base, tmp_path / "saved/adapter")
        found = [
            whole(ids).logits.float(),
            theirs(ids).logits.float(),
            logits(checkpoint_io.load(tmp_path / "saved"), ids),
        ]
    assert whole.dtype == dtype
    close = CLOSE if dtype == torch.float32 else {"atol": rounding(expected, layers=2), "rtol": 0.0}
    for each in found:
        torch.testing.assert_close(each, expected, **close)
    assert (before - expected).std() > 5 * (found[1] - expected).std()
    config = read_json(tmp_path / "saved/adapter/adapter_config.json")
    assert (config["r"], config["lora_alpha"]) == (3, 6)
    assert sorted({name.rpartition(".")[2] for name in config["target_modules"]}) == PROJECTIONS


def test_a_checkpoint_without_adapters_has_no_folder_of_them(policy: Policy, tiny: Path, tmp_path: Path) -> None:
    checkpoint_io.save(policy, tmp_path / "saved", like=tiny)
    assert not (tmp_path / "saved/adapter").exists()


# --- where peft is not there ---


def test_nothing_imports_peft_until_adapters_are_asked_for() -> None:
    code = "import dopr.training.train, dopr.training.job, sys; print({'peft'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout == "set()\n"


def test_without_peft_one_line_says_what_to_install(policy: Policy, raw: dict, monkeypatch: pytest.MonkeyPatch) -> None:
    raw["recipes"]["grpo"]["lora"] = {"rank": 4, "alpha": 8}
    assert open_config(raw).recipes["grpo"].lora == Lora(rank=4, alpha=8)
    for place in ("dopr.workflow.preflight.find_spec", "dopr.models.lora.find_spec"):
        monkeypatch.setattr(place, lambda name: None)
    with pytest.raises(
        ConfigError, match=r"recipes.grpo.lora: needs peft, .*: pip install --editable '\.\[lora\]' in the clone"
    ):
        check_packages(open_config(raw))
    with pytest.raises(AdapterError, match=r"pip install --editable '\.\[lora\]' in the clone"):
        lora.add_adapters(policy.network, SETTINGS, 0)
    del raw["recipes"]["grpo"]["lora"]
    open_config(raw)
    make_learner(policy)


def test_layers_that_the_network_does_not_have_are_one_line(policy: Policy) -> None:
    with pytest.raises(AdapterError, match=r"^lora.targets: Target modules .*c_attn") as caught:
        add_adapters(policy.network, Lora(rank=4, alpha=8, targets=["c_attn"]), 0)
    assert "\n" not in str(caught.value)
