"""The optimiser: float32 networks as plain AdamW has them, bfloat16 ones by their float32 masters."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import nn

from dopr.config.recipe import Loss, Recipe
from dopr.training.optimiser import Optimiser, learning_rate

INPUT = torch.tensor([[1.0, -2.0, 0.5]])


def recipe(**changes) -> Recipe:
    fields = {
        "selector": "uniform",
        "group_size": 2,
        "steps": 10,
        "learning_rate": 1e-3,
        "warmup_steps": 0,
        "betas": (0.9, 0.99),
        "weight_decay": 0.0,
        "max_grad_norm": 1e9,
        "loss": Loss(variant="dapo", clip_low=0.2, clip_high=0.2, advantage_epsilon=1e-4),
    }
    return Recipe(**{**fields, **changes})


def make_network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(3, 2)


def make_optimiser(network: nn.Module, dtype: torch.dtype = torch.float32, **changes) -> Optimiser:
    settings = recipe(**changes)
    return Optimiser(network, settings, settings.learning_rate, dtype)


def loss_of(network: nn.Module) -> torch.Tensor:
    weight = next(network.parameters())
    return (network(INPUT.to(weight.dtype)).float() ** 2).sum()


def test_the_learning_rate_rises_linearly_and_stays():
    settings = recipe(learning_rate=0.8, warmup_steps=4)
    assert [learning_rate(settings, at) for at in range(6)] == pytest.approx([0.2, 0.4, 0.6, 0.8, 0.8, 0.8])
    assert learning_rate(recipe(learning_rate=0.8, warmup_steps=0), 0) == 0.8


def test_the_learning_rate_falls_linearly_where_asked_to():
    settings = recipe(learning_rate=0.8, warmup_steps=2, steps=4, final_rate=0.5)
    # Factors of the fall: 1, 7/8, 6/8, 5/8; the first step is half warmed up.
    assert [learning_rate(settings, at) for at in range(4)] == pytest.approx([0.4, 0.7, 0.6, 0.5])


def test_in_float32_it_is_torchs_adamw_bit_for_bit():
    ours, theirs = make_network(), make_network()
    optimiser = make_optimiser(ours, weight_decay=0.1)
    adam = torch.optim.AdamW(theirs.parameters(), lr=1e-3, betas=(0.9, 0.99), weight_decay=0.1)
    for step in range(5):
        optimiser.step([loss_of(ours)], step)
        adam.zero_grad()
        loss_of(theirs).backward()
        adam.step()
    assert all(torch.equal(a, b) for a, b in zip(ours.parameters(), theirs.parameters(), strict=True))


def test_weight_decay_shrinks_weights_that_have_no_gradient():
    network = make_network()
    before = network.weight.detach().clone()
    make_optimiser(network, weight_decay=0.5, learning_rate=0.1).step([(network(INPUT) * 0).sum()], 0)
    torch.testing.assert_close(network.weight.detach(), before * (1 - 0.1 * 0.5))


def test_steps_too_small_for_bfloat16_add_up_in_the_masters():
    """A weight of 1 has neighbours 1/256 and 1/128 away: steps of 1e-4 reach the next after about twenty."""
    network = nn.Linear(1, 1, bias=False)
    nn.init.ones_(network.weight)
    optimiser = make_optimiser(network, torch.bfloat16, learning_rate=1e-4)
    seen = []
    for step in range(60):
        optimiser.step([network.weight.float().sum()], step)
        seen.append(float(network.weight.detach()))
    assert network.weight.dtype == torch.bfloat16
    assert seen[10] == 1.0
    assert seen[-1] < 1.0
    assert float(optimiser.masters[0].detach()) == pytest.approx(1 - 60e-4, abs=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_optimiser_elsewhere_takes_the_same_steps(dtype):
    ends = []
    for elsewhere in (False, True):
        network = make_network()
        optimiser = make_optimiser(network, dtype, offload_optimizer=elsewhere)
        assert (optimiser.masters is optimiser.weights) is (dtype == torch.float32 and not elsewhere)
        for step in range(3):
            optimiser.step([loss_of(network)], step)
        ends.append([weight.detach().clone() for weight in network.parameters()])
    assert all(torch.equal(here, there) for here, there in zip(*ends, strict=True))


def test_the_working_copy_is_the_masters_rounded():
    network = make_network()
    start = [weight.detach().clone() for weight in network.parameters()]
    optimiser = make_optimiser(network, torch.bfloat16)
    assert all(torch.equal(master, weight) for master, weight in zip(optimiser.masters, start, strict=True))
    for step in range(3):
        optimiser.step([loss_of(network)], step)
        for master, weight in zip(optimiser.masters, network.parameters(), strict=True):
            assert master.dtype == torch.float32
            assert torch.equal(master.detach().bfloat16(), weight.detach())


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_restored_optimiser_goes_on_bit_for_bit(dtype):
    whole, resumed = make_network(), make_network()
    first, second = make_optimiser(whole, dtype), make_optimiser(resumed, dtype)
    for step in range(4):
        first.step([loss_of(whole)], step)
    second.load_state_dict(copy.deepcopy(first.state_dict()))
    for step in range(4, 8):
        norms = [optimiser.step([loss_of(network)], step) for optimiser, network in ((first, whole), (second, resumed))]
        assert norms[0] == norms[1]
    assert all(torch.equal(a, b) for a, b in zip(first.masters, second.masters, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(whole.parameters(), resumed.parameters(), strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_gradient_that_is_not_finite_changes_nothing(dtype):
    network = make_network()
    optimiser = make_optimiser(network, dtype)
    before = [weight.detach().clone() for weight in optimiser.masters]
    with pytest.raises(FloatingPointError, match=r"step 3: the loss is .* lower learning_rate"):
        optimiser.step([(network.weight * float("inf")).sum()], 2)
    assert all(torch.equal(master, weight) for master, weight in zip(optimiser.masters, before, strict=True))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_gradients_of_several_losses_add_up_in_float32(dtype):
    """256 + 1 is no bfloat16 number."""
    network = nn.Linear(1, 1, bias=False)
    optimiser = make_optimiser(network, dtype)
    for step in range(2):  # what is left of one step is not in the next
        total, norm = optimiser.step((factor * network.weight.float().sum() for factor in (256.0, 1.0)), step)
        assert optimiser.masters[0].grad.item() == norm == 257.0
    assert total == pytest.approx(257 * float(optimiser.masters[0].detach()), abs=1.0)


def test_a_losss_graph_is_let_go_before_the_next_one_is_computed():
    network = make_network()

    def losses():
        for _ in range(3):
            loss = loss_of(network)
            yield loss
            with pytest.raises(RuntimeError, match="backward through the graph a second time"):
                loss.backward()

    make_optimiser(network).step(losses(), 0)
