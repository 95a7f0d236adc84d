"""Faster float32 matrix products on a CPU, without loss of precision.

PyTorch uses MKL, which on AMD processors computes large products at half the speed of oneDNN. PyTorch's setting for
oneDNN is called "bf16", because it allows oneDNN to round factors to bfloat16; only processors with matrix units (AMX)
do so. Whether the present one does is tested with numbers that rounding would change; if so, MKL stays in use. Products
on a GPU are not changed.

Only linear layers use oneDNN: it is several times slower for the many small products of attention.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

SWITCH: Any = torch.backends.mkldnn.matmul  # type: ignore[attr-defined]
TEST_SIZES = ((8, 64, 64), (128, 64, 192), (512, 256, 512))  # rows, inner, columns
MIN_MULTIPLICATIONS = 2**22  # below, MKL is as fast


class FastLinear(nn.Linear):
    """A linear layer that is computed by `fast_linear`."""

    def forward(self, rows: Tensor) -> Tensor:
        """Map [..., inner] to [..., columns]."""
        return fast_linear(rows.flatten(0, -2), self.weight, self.bias).view(*rows.shape[:-1], -1)


def use_fast_matmul(network: nn.Module) -> None:
    """Let oneDNN compute the large products of a network's linear layers if it keeps float32's precision; in place."""
    if onednn_is_exact():
        for module in network.modules():
            if type(module) is nn.Linear:
                module.__class__ = FastLinear


def fast_linear(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Compute rows [rows, inner] @ weight [columns, inner] transposed + bias; large products use oneDNN."""
    large = len(rows) * weight.numel() >= MIN_MULTIPLICATIONS
    if large and rows.device.type == "cpu" and rows.dtype == torch.float32 and onednn_is_exact():
        if torch.is_inference_mode_enabled():  # no gradient, so nothing needs to be saved
            with fast_products():
                return linear(rows, weight, bias)
        return _OneDnnLinear.apply(rows, weight, bias)  # type: ignore[no-any-return]
    return linear(rows, weight, bias)


class _OneDnnLinear(torch.autograd.Function):
    """torch.nn.functional.linear with oneDNN in forward and backward pass."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Map rows [rows, inner] to [rows, columns], and keep what their gradients need."""
        rows_need_grad, weight_needs_grad, _ = ctx.needs_input_grad
        ctx.save_for_backward(rows if weight_needs_grad else None, weight if rows_need_grad else None)
        with fast_products():
            return linear(rows, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        """Return the gradients of rows, weight and bias, for a gradient [rows, columns]."""
        rows, weight = ctx.saved_tensors
        rows_need_grad, weight_needs_grad, bias_needs_grad = ctx.needs_input_grad
        with fast_products():
            return (
                gradient @ weight if rows_need_grad else None,
                gradient.t() @ rows if weight_needs_grad else None,
                gradient.sum(0) if bias_needs_grad else None,
            )


@contextmanager
def fast_products() -> Iterator[None]:
    """Let oneDNN compute float32 products on a CPU inside the context, if it keeps their precision."""
    before = SWITCH.fp32_precision
    if onednn_is_exact():
        SWITCH.fp32_precision = "bf16"
    try:
        yield
    finally:
        SWITCH.fp32_precision = before


@cache
def onednn_is_exact() -> bool:
    """Return whether oneDNN keeps float32's precision on this processor: errors near 1e-6 instead of 1e-3."""
    before = SWITCH.fp32_precision
    SWITCH.fp32_precision = "bf16"
    try:
        return all(_relative_error(*size) < 1e-5 for size in TEST_SIZES)
    finally:
        SWITCH.fp32_precision = before


def _relative_error(rows: int, inner: int, columns: int) -> float:
    """Return the largest relative error of a product of numbers between 1 and 2 that bfloat16 would round."""
    left = 1 + (torch.arange(rows * inner) % 997 / 997).view(rows, inner)
    right = 1 + (torch.arange(columns * inner) % 991 / 991).view(columns, inner)
    expected = left.double() @ right.double().t()
    return float(((left @ right.t()) / expected - 1).abs().max())
