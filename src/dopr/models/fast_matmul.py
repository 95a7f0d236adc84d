"""Faster float32 matrix products on a CPU, where they cost no precision.

PyTorch leaves them to MKL, which on AMD processors runs large ones at half the speed of oneDNN. The public switch to
oneDNN is called "bf16", because it allows rounding factors to bfloat16; only processors with matrix units (AMX) do so.
Whether this one does is found out by multiplying numbers that rounding would change, and where it does, nothing is
switched. Products on a GPU are not touched.

Only linear layers go there: the many small products of attention are several times slower that way.
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
SIZES = ((8, 64, 64), (128, 64, 192), (512, 256, 512))  # of the products tried: rows, inner, columns
WORTH_IT = 2**22  # multiplications below which MKL is as fast


class FastLinear(nn.Linear):
    """A linear layer, computed by `product`."""

    def forward(self, rows: Tensor) -> Tensor:
        """[..., inner] to [..., columns]."""
        return product(rows.flatten(0, -2), self.weight, self.bias).view(*rows.shape[:-1], -1)


def use_fast_matmul(network: nn.Module) -> None:
    """Let oneDNN compute the large products of a network's linear layers, where that is exact; in place."""
    if onednn_is_exact():
        for module in network.modules():
            if type(module) is nn.Linear:
                module.__class__ = FastLinear


def product(rows: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """rows [rows, inner] @ weight [columns, inner] transposed, + bias; large ones, and their gradients, by oneDNN."""
    large = len(rows) * weight.numel() >= WORTH_IT
    if large and rows.device.type == "cpu" and rows.dtype == torch.float32 and onednn_is_exact():
        if torch.is_inference_mode_enabled():  # without what the gradient needs
            with fast_products():
                return linear(rows, weight, bias)
        return _Product.apply(rows, weight, bias)  # type: ignore[no-any-return]
    return linear(rows, weight, bias)


class _Product(torch.autograd.Function):
    """linear, with the switch set forward and backward."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        for_rows, for_weight, _ = ctx.needs_input_grad
        ctx.save_for_backward(rows if for_weight else None, weight if for_rows else None)
        with fast_products():
            return linear(rows, weight, bias)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        rows, weight = ctx.saved_tensors
        for_rows, for_weight, for_bias = ctx.needs_input_grad
        with fast_products():
            return (
                gradient @ weight if for_rows else None,
                gradient.t() @ rows if for_weight else None,
                gradient.sum(0) if for_bias else None,
            )


@contextmanager
def fast_products() -> Iterator[None]:
    """Within it, float32 products on a CPU are left to oneDNN if that is exact."""
    before = SWITCH.fp32_precision
    if onednn_is_exact():
        SWITCH.fp32_precision = "bf16"
    try:
        yield
    finally:
        SWITCH.fp32_precision = before


@cache
def onednn_is_exact() -> bool:
    """Whether oneDNN's products of float32 numbers keep their precision here: errors of 1e-6, not 1e-3."""
    before = SWITCH.fp32_precision
    SWITCH.fp32_precision = "bf16"
    try:
        return all(_error(*size) < 1e-5 for size in SIZES)
    finally:
        SWITCH.fp32_precision = before


def _error(rows: int, inner: int, columns: int) -> float:
    """Largest relative error of a product of numbers between 1 and 2 that bfloat16 cannot hold."""
    left = 1 + (torch.arange(rows * inner) % 997 / 997).view(rows, inner)
    right = 1 + (torch.arange(columns * inner) % 991 / 991).view(columns, inner)
    expected = left.double() @ right.double().t()
    return float(((left @ right.t()) / expected - 1).abs().max())
