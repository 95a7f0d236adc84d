"""What autograd keeps of a computation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


def saved_bytes(network: nn.Module, run: Callable[[], Any]) -> int:
    """Bytes kept for the gradient of what `run` returns, each piece of memory counted once; weights are not counted."""
    known = {weight.untyped_storage().data_ptr() for weight in network.state_dict().values()}
    kept: dict[int, Tensor] = {}

    def pack(tensor: Tensor) -> Tensor:
        kept.setdefault(tensor.untyped_storage().data_ptr(), tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = run()
    assert result is not None
    return sum(tensor.untyped_storage().nbytes() for place, tensor in kept.items() if place not in known)
