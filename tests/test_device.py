"""Training and sampling on another device than the CPU: nothing is left behind, and the numbers are the CPU's.

The device is pretended (fixture_device); none of this has run on a GPU. Networks are loaded on the CPU and moved there.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn

from dopr.config.recipe import Critic, Lora, Reuse
from dopr.models import checkpoint_io
from dopr.models.lora import PolicyWeights
from dopr.models.model_folder import end_tokens
from dopr.rollout.torch_engine import TorchEngine
from dopr.training import warm_start
from dopr.training.prompt_features import hidden_features
from fixture_comparison import APART, apart, assert_close, numbers
from fixture_device import FAR, Far, pretended
from fixture_learner import MIXED, make_learner, make_loss, roll_out, weights


def far(tensors: Iterable[torch.Tensor]) -> bool:
    return all(isinstance(tensor.data, Far) for tensor in tensors)


def near(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name: weight.to("cpu") for name, weight in weights.items()}


def test_the_pretended_device_holds_numbers_and_refuses_those_of_the_cpu():
    with pretended():
        there, here = torch.ones(2, device=FAR), torch.ones(2)
        assert isinstance(there * 2, Far)
        assert (there * 2).tolist() == [2, 2]
        with pytest.raises(RuntimeError, match="tensors on two devices"):
            there + here
        weight = nn.Parameter(there * 3)
        (weight * torch.tensor([1.0, 2.0], device=FAR)).sum().backward()
        assert weight.grad.tolist() == [1, 2]
        assert not isinstance(weight.detach().to("cpu"), Far)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"dtype": "bfloat16"},
        {"micro_batch_tokens": 40, "gradient_checkpointing": True},
        {"loss": make_loss(variant="gspo", kl=0.1, entropy=0.01), "epochs": 2, "minibatches": 2},
        {"critic": Critic(learning_rate=0.01), "reuse": Reuse(groups=2, window=4)},
        {"loss": make_loss(mask_truncated=True), "reuse": Reuse(groups=1, window=2)},
        {"lora": Lora(rank=2, alpha=4), "loss": make_loss(kl=0.1)},
        {"dtype": "bfloat16", "offload_optimizer": True},
    ],
)
def test_updates_and_checkpoints_on_a_device_are_those_on_the_cpu(tiny, settings):
    if "lora" in settings:
        pytest.importorskip("peft")
    dtype = settings.get("dtype", "float32")
    here, first, second = (checkpoint_io.load(tiny, dtype) for _ in range(3))
    groups = roll_out(tiny, checkpoint_io.load(tiny), MIXED)
    learner = make_learner(here, **settings)
    start = weights(here)
    expected = [learner.learn(groups, step) for step in range(2)]
    with pretended():
        away = make_learner(first.to(FAR), **settings)
        assert far(away.policy.parameters())
        found = [away.learn(groups, 0)]
        resumed = make_learner(second.to(FAR), **settings)
        resumed.load_state_dict(away.state_dict())
        found.append(resumed.learn(groups, 1))
        assert far(resumed.policy.parameters())
        assert far(resumed.optimiser.masters) is not settings.get("offload_optimizer", False)
        ended = near(second.network.state_dict())
    for (ours, ours_done), (theirs, theirs_done) in zip(found, expected, strict=True):
        assert ours_done == theirs_done
        assert_close(numbers(ours), numbers(theirs), dtype)
    assert apart(ended, weights(here), start) < APART[dtype]


def test_a_first_update_of_replayed_rows_alone_looks_at_the_device_too(tiny):
    """Nothing new has signal: the gap between sampler and trainer is taken from one new rollout."""
    groups, policy = (
        roll_out(tiny, checkpoint_io.load(tiny), [[1.0, 0.0, 0.0, 0.0], [1.0] * 4]),
        checkpoint_io.load(tiny),
    )
    with pretended():
        away = make_learner(policy.to(FAR), reuse=Reuse(groups=1, window=2))
        away.learn(groups[:1], 0)
        statistics, updates = away.learn(groups[1:], 1)
    assert updates == 1
    assert 0 < statistics.gap.mean <= statistics.gap.high


@pytest.mark.filterwarnings("ignore:for .* copying from a non-meta parameter")  # what is pretended goes by that name
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_device_draws_what_the_cpu_draws(reference, monkeypatch, temperature):
    """Without inference mode, whose tensors cannot be pretended. Sums of 32 products below 30 are rounded by 2^-24."""
    prompts = [[5, 9, 3], [7], [4, 4, 4, 4, 4, 4, 8]]
    expected = TorchEngine.from_folder(reference.folder).generate(prompts, 3, temperature, 20, seed=4)
    monkeypatch.setattr(TorchEngine, "generate", torch.no_grad()(TorchEngine.generate.__wrapped__))
    network = checkpoint_io.load(reference.folder).network
    for weight in network.parameters():
        nn.init.zeros_(weight)
    with pretended():
        engine = TorchEngine(network.to(FAR), end_tokens(reference.folder), owns_network=True)
        engine.load_weights(PolicyWeights(reference.policy.network))
        assert far([*engine.network.parameters(), engine.is_end_token])
        found = engine.generate(prompts, 3, temperature, 20, seed=4)
    for ours, theirs in zip(found, expected, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            assert (mine.tokens, mine.finish) == (other.tokens, other.finish)
            assert mine.logprobs == pytest.approx(other.logprobs, abs=32 * 30 * 2**-24)


def test_the_warm_start_and_hidden_features_run_on_a_device(config, tiny, tokenizer):
    shape = config.base.warm_start.model_copy(update={"batch_size": 4})

    def trained(policy: Any) -> tuple[dict[str, torch.Tensor], Any]:
        optimisers = warm_start.make_optimisers(policy, 0.01, muon=True)
        corpus = warm_start.batches("skill", shape, tokenizer, set())
        warm_start.train_phase(policy, corpus, optimisers, 2, lambda step, loss: None)
        return near(policy.network.state_dict()), hidden_features([[5, 6], [7, 8, 9]], policy)

    here, away = checkpoint_io.load(tiny), checkpoint_io.load(tiny)
    start = weights(here)
    ended, features = trained(here)
    with pretended():
        ended_away, features_away = trained(away.to(FAR))
    assert apart(ended_away, ended, start) < APART["float32"]
    assert features_away == pytest.approx(features, rel=1e-3, abs=1e-4)
