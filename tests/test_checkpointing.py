"""Gradient checkpointing: the same gradients to the last bit, from fewer saved activations; many logits in pieces."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM, Qwen2Config

from dopr.config.recipe import Critic
from dopr.models import checkpoint_io, network
from dopr.models.attention import PACKED
from dopr.models.logprobs import completion_logprobs, logprobs_and_entropy
from dopr.models.network import Policy, checkpoint_layers, completion_states, scored_at_once
from dopr.models.packing import pack
from fixture_activations import saved_bytes
from fixture_learner import MIXED, make_learner, make_loss, roll_out, same, weights

LAYERS, HIDDEN = 6, 32
SHAPE = {
    "vocab_size": 50,
    "hidden_size": HIDDEN,
    "intermediate_size": 96,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-6,
    "tie_word_embeddings": True,
}
PROMPTS = [(5, 6, 7), (8, 9), (5, 6, 7)]
COMPLETIONS = [tuple(range(3, 40)), tuple(range(20, 28)), (4, 5)]


@pytest.fixture(scope="module")
def deep() -> Policy:
    torch.manual_seed(0)
    return Policy(AutoModelForCausalLM.from_config(Qwen2Config(**SHAPE), attn_implementation=PACKED).eval())


def loss_of(policy: Policy) -> Tensor:
    logprobs, mask = completion_logprobs(policy, PROMPTS, COMPLETIONS, 0.7)
    return (logprobs * mask).sum()


def gradients(policy: Policy, checkpointing: bool, loss: Callable[[Policy], Tensor]) -> dict[str, Tensor]:
    turn(policy, checkpointing)
    policy.zero_grad()
    loss(policy).backward()
    return {name: weight.grad.clone() for name, weight in policy.named_parameters() if weight.grad is not None}


def turn(policy: Policy, checkpointing: bool) -> None:
    checkpoint_layers(policy.network, checkpointing)


def test_the_gradients_of_every_kind_of_network_are_the_same_to_the_last_bit(reference: Any) -> None:
    policy = copy.deepcopy(reference.policy)
    assert same(*(gradients(policy, checkpointing, loss_of) for checkpointing in (False, True)))
    assert not any(module.training for module in policy.network.modules())


def test_layers_are_computed_again_for_gradients_alone(deep: Policy) -> None:
    calls: list[int] = []
    hooks = [block.self_attn.register_forward_pre_hook(lambda *_: calls.append(1)) for block in deep.layers]
    gradients(deep, True, loss_of)
    assert len(calls) == 2 * LAYERS
    with torch.no_grad():
        loss_of(deep)
    assert len(calls) == 3 * LAYERS
    for hook in hooks:
        hook.remove()


def test_saved_activations_fall_to_one_input_a_layer(deep: Policy) -> None:
    """Measured on the layers alone: their inputs, and the angles and places that all of them share."""
    batch = pack(PROMPTS, COMPLETIONS, shared=True)
    found = {}
    for checkpointing in (False, True):
        turn(deep, checkpointing)
        found[checkpointing] = saved_bytes(deep, lambda: completion_states(deep.network.base_model, batch))
    turn(deep, False)
    inputs = LAYERS * batch.inputs["input_ids"].numel() * HIDDEN * 4
    assert inputs <= found[True] < 2 * inputs
    assert found[False] > 6 * found[True]


@pytest.mark.parametrize(
    "settings",
    [{"loss": make_loss(kl=0.1, entropy=0.1)}, {"critic": Critic(learning_rate=0.01)}, {"dtype": "bfloat16"}],
)
def test_a_learner_learns_the_same_to_the_last_bit(tiny: Path, settings: dict[str, Any]) -> None:
    groups, ends, statistics = roll_out(tiny, checkpoint_io.load(tiny), MIXED), [], []
    for checkpointing in (False, True):
        learner = make_learner(checkpoint_io.load(tiny), gradient_checkpointing=checkpointing, **settings)
        statistics.append([learner.learn(groups, step) for step in range(3)])
        assert learner.policy.layers[0].gradient_checkpointing is checkpointing
        assert learner.critic is None or learner.critic.network.trunk.layers[0].gradient_checkpointing is checkpointing
        ends.append(weights(learner.policy))
    assert statistics[0] == statistics[1]
    assert same(*ends)


# --- logits in pieces ---


def test_pieces_are_of_a_multiple_of_32_tokens() -> None:
    """2^26 logits: 441 tokens of Qwen2's 152,064."""
    assert scored_at_once(152_064) == 416
    assert scored_at_once(2**26) == scored_at_once(2**30) == 32


@pytest.mark.parametrize("with_entropy", [False, True])
def test_logits_in_pieces_give_the_same_to_rounding_and_are_not_kept(
    deep: Policy, monkeypatch: pytest.MonkeyPatch, with_entropy: bool
) -> None:
    """47 completion tokens: pieces of 32 and 15, each computed again for the gradient."""
    found, logits = [], deep.logits
    monkeypatch.setattr(deep, "logits", lambda hidden: found.append(len(hidden)) or logits(hidden))

    def loss(policy: Policy) -> Tensor:
        if not with_entropy:
            return loss_of(policy)
        logprobs, entropy, mask = logprobs_and_entropy(policy, PROMPTS, COMPLETIONS, 0.7)
        return ((logprobs + entropy.square()) * mask).sum()

    expected = gradients(deep, True, loss), loss(deep).detach(), saved_bytes(deep, lambda: loss(deep))
    assert set(found) == {47}
    monkeypatch.setattr(network, "MAX_LOGITS", 1)
    found.clear()
    close = {"atol": 1e-4, "rtol": 1e-4}
    torch.testing.assert_close(gradients(deep, True, loss), expected[0], **close)
    assert found == [32, 15, 15, 32]
    torch.testing.assert_close(loss(deep).detach(), expected[1], **close)
    assert saved_bytes(deep, lambda: loss(deep)) < expected[2] - 0.9 * 47 * 50 * 4
    found.clear()
    with torch.no_grad():
        loss(deep)
    assert found == [32, 15]
    gradients(deep, False, loss)
    assert found == [32, 15, 32, 15, 15, 32]
