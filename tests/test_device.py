"""Training and sampling on another device than the CPU: nothing is left behind, and the numbers are the CPU's.

The device is pretended (fixture_device); none of this has run on a GPU.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import pytest
import torch
from torch import nn

from dopr import warm_start
from dopr.features import hidden_features
from dopr.policy import model
from dopr.recipe import Critic, Reuse
from dopr.rollout.decoder import Decoder
from dopr.rollout.torch_engine import TorchEngine
from fixture_device import FAR, Far, pretended
from fixture_learner import MIXED, make_learner, make_loss, roll_out


def far(parameters: Any) -> bool:
    return all(isinstance(weight.data, Far) for weight in parameters)


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
    ],
)
def test_updates_and_checkpoints_on_a_device_are_those_on_the_cpu(tiny, settings):
    groups = roll_out(tiny, model.load(tiny), MIXED)
    learner = make_learner(model.load(tiny), **settings)
    expected = [learner.learn(groups, step) for step in range(2)]
    with pretended():
        away = make_learner(model.load(tiny, FAR), **settings)
        assert far(away.policy.parameters())
        found = [away.learn(groups, 0)]
        resumed = make_learner(model.load(tiny, FAR), **settings)
        resumed.load_state_dict(away.state_dict())
        found.append(resumed.learn(groups, 1))
        assert far(resumed.policy.parameters())
        weights = near(resumed.policy.state_dict())
    for (ours, ours_done), (theirs, theirs_done) in zip(found, expected, strict=True):
        assert ours_done == theirs_done
        assert asdict(ours) == pytest.approx(asdict(theirs), rel=5e-3, abs=2e-5)
    # A gradient near zero may round to either side in bfloat16, and AdamW steps by the whole rate in either case.
    atol = 4e-3 if settings.get("dtype") == "bfloat16" else 2e-5
    torch.testing.assert_close(weights, dict(learner.policy.state_dict()), atol=atol, rtol=1e-4)


def test_a_first_update_of_replayed_rows_alone_looks_at_the_device_too(tiny):
    """Nothing new has signal: the gap between sampler and trainer is taken from one new rollout."""
    groups = roll_out(tiny, model.load(tiny), [[1.0, 0.0, 0.0, 0.0], [1.0] * 4])
    with pretended():
        away = make_learner(model.load(tiny, FAR), reuse=Reuse(groups=1, window=2))
        away.learn(groups[:1], 0)
        statistics, updates = away.learn(groups[1:], 1)
    assert updates == 1
    assert statistics.logprob_gap > 0


@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_device_draws_what_the_cpu_draws_with_the_same_steps(reference, monkeypatch, temperature):
    """Without inference mode, whose tensors cannot be pretended."""
    for made, name in ((TorchEngine, "generate"), (Decoder, "forward")):
        monkeypatch.setattr(made, name, torch.no_grad()(getattr(made, name).__wrapped__))
    prompts = [[5, 9, 3], [7], [4, 4, 4, 4, 4, 4, 8]]
    expected = TorchEngine.from_folder(reference.folder, static=True).generate(prompts, 3, temperature, 20, seed=4)
    with pretended():
        engine = TorchEngine.from_folder(reference.folder, FAR)
        assert engine.static
        engine.load_weights(reference.policy.state_dict())  # from the CPU, as evaluation reads them
        assert far([engine.decoder.embedding, engine.decoder.layers[0].qkv])
        found = engine.generate(prompts, 3, temperature, 20, seed=4)
    for ours, theirs in zip(found, expected, strict=True):
        for mine, other in zip(ours, theirs, strict=True):
            assert mine.tokens == other.tokens
            assert mine.logprobs == pytest.approx(other.logprobs, abs=1e-5)


def test_the_warm_start_and_hidden_features_run_on_a_device(config, tiny, tokenizer):
    shape = config.base.warm_start.model_copy(update={"batch_size": 4})

    def trained(device: str) -> tuple[dict[str, torch.Tensor], Any]:
        policy = model.load(tiny, device)
        optimisers = warm_start.make_optimisers(policy, 0.01, muon=True)
        corpus = warm_start.batches("skill", shape, tokenizer, set())
        warm_start.train_phase(policy, corpus, optimisers, 2, lambda step, loss: None)
        return near(policy.state_dict()), hidden_features([[5, 6], [7, 8, 9]], policy)

    weights, features = trained("cpu")
    with pretended():
        weights_away, features_away = trained(FAR)
    torch.testing.assert_close(weights_away, weights, atol=1e-5, rtol=1e-4)
    assert features_away == pytest.approx(features, rel=1e-4, abs=1e-5)
