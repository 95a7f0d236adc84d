"""Faster products: exact to rounding, gradients included, and the switch as it was afterwards."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import linear

from dopr.models import fast_matmul
from dopr.models.fast_matmul import fast_linear, fast_products, onednn_is_exact


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


@pytest.mark.parametrize("biased", [True, False])
@pytest.mark.parametrize("rows", [3, 700])
def test_products_and_their_gradients_are_those_of_double_precision(rows, biased):
    values = [normal(rows, 96), normal(80, 96), normal(80)][: 3 if biased else 2]
    outer = normal(rows, 80)
    assert (rows * 96 * 80 >= fast_matmul.MIN_MULTIPLICATIONS) is (rows == 700)

    def results(call, dtype):
        leaves = [value.detach().to(dtype, copy=True).requires_grad_() for value in values]
        result = call(*leaves)
        result.backward(outer.to(dtype))
        return [result.detach(), *(leaf.grad for leaf in leaves)]

    for ours, exact in zip(results(fast_linear, torch.float32), results(linear, torch.float64), strict=True):
        torch.testing.assert_close(ours.double(), exact, atol=2e-4, rtol=1e-5)


def test_the_switch_is_left_as_it_was_also_after_an_error():
    before = fast_matmul.SWITCH.fp32_precision
    with fast_products():
        assert fast_matmul.SWITCH.fp32_precision == ("bf16" if onednn_is_exact() else before)
    assert fast_matmul.SWITCH.fp32_precision == before
    with pytest.raises(RuntimeError), fast_products():
        linear(torch.zeros(2, 3), torch.zeros(2, 4))
    assert fast_matmul.SWITCH.fp32_precision == before


def test_where_rounding_shows_nothing_is_switched(monkeypatch):
    onednn_is_exact.cache_clear()
    monkeypatch.setattr(fast_matmul, "_relative_error", lambda *size: 2e-3)
    before = fast_matmul.SWITCH.fp32_precision
    with fast_products():
        assert fast_matmul.SWITCH.fp32_precision == before
    onednn_is_exact.cache_clear()


def test_the_trial_sees_rounding_to_bfloat16(monkeypatch):
    """The same numbers, rounded to bfloat16 before they are multiplied, as a processor with matrix units does."""
    exact = torch.Tensor.__matmul__

    def rounded(left: torch.Tensor, right: torch.Tensor) -> torch.Tensor:
        if left.dtype == torch.float64:
            return exact(left, right)
        return exact(left.bfloat16().float(), right.bfloat16().float())

    assert max(fast_matmul._relative_error(*size) for size in fast_matmul.TEST_SIZES) < 1e-5
    monkeypatch.setattr(torch.Tensor, "__matmul__", rounded)
    assert min(fast_matmul._relative_error(*size) for size in fast_matmul.TEST_SIZES) > 1e-5


def test_only_linear_layers_change_and_compute_the_same(monkeypatch):
    monkeypatch.setattr(fast_matmul, "onednn_is_exact", lambda: True)
    network = torch.nn.Sequential(torch.nn.Linear(64, 96), torch.nn.LayerNorm(96), torch.nn.Linear(96, 8, bias=False))
    rows = torch.randn(4, 16, 64)
    expected = network(rows)
    fast_matmul.use_fast_matmul(network)
    assert [type(module).__name__ for module in network] == ["FastLinear", "LayerNorm", "FastLinear"]
    torch.testing.assert_close(network(rows), expected)


@pytest.mark.parametrize("frozen", ["rows", "weight"])
def test_a_factor_that_takes_no_gradient_gets_none_and_costs_none(frozen):
    values = {"rows": torch.randn(512, 128), "weight": torch.randn(256, 128)}
    gradients = []
    for taking in (values.keys(), values.keys() - {frozen}):
        leaves = {name: value.clone().requires_grad_(name in taking) for name, value in values.items()}
        kept = []
        with torch.autograd.graph.saved_tensors_hooks(lambda t, kept=kept: (kept.append(t), t)[1], lambda t: t):
            result = fast_linear(leaves["rows"], leaves["weight"])
        assert len(kept) == len(taking)
        result.sum().backward()
        gradients.append({name: leaf.grad for name, leaf in leaves.items()})
    assert gradients[1].pop(frozen) is None
    assert all(torch.equal(gradient, gradients[0][name]) for name, gradient in gradients[1].items())
