"""A pretended accelerator: tensors that hold real numbers and refuse to be mixed with the CPU's, as a GPU's do.

It goes by the name of PyTorch's meta device, which no check of PyTorch's own keeps from being used. Within
`pretended()`, what is made on that device, or moved to it, is a Far tensor around a CPU tensor with the numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

FAR = "meta"
MAY_MIX = {torch.ops.aten.copy_.default}  # what moves numbers from one device to another
READS = {torch.ops.aten._local_scalar_dense.default}


class Far(torch.Tensor):
    @staticmethod
    def __new__(cls, near: torch.Tensor) -> Far:
        made = torch.Tensor._make_wrapper_subclass(
            cls, near.shape, strides=near.stride(), storage_offset=near.storage_offset(), dtype=near.dtype, device=FAR
        )
        made.near = near
        return made

    def tolist(self) -> list:
        return self.near.tolist()

    def __setitem__(self, where: Any, value: Any) -> None:
        """PyTorch takes lists and numbers to the device without being seen."""
        where = torch.tensor(where, device=FAR) if isinstance(where, list) else where
        super().__setitem__(where, value if isinstance(value, torch.Tensor) else self.new_full((), value))

    @classmethod
    def __torch_dispatch__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(function, args, kwargs or {})


def call(function: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """The function on the numbers; Far if its operands are, or if it is asked to be."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)]
    far = [tensor for tensor in tensors if isinstance(tensor, Far)]
    if any(tensor.device.type == FAR and not isinstance(tensor, Far) for tensor in tensors):
        raise RuntimeError(f"{function}: a tensor came to the device unseen, and its numbers are lost")
    near = [tensor for tensor in tensors if not isinstance(tensor, Far) and tensor.dim()]
    if far and near and function not in MAY_MIX:
        raise RuntimeError(f"{function}: tensors on two devices, one of shape {tuple(near[0].shape)} on the CPU")
    asked = kwargs.get("device")
    if asked is not None:
        kwargs = {**kwargs, "device": torch.device("cpu")}
    found = function(*tree_map(numbers, args), **tree_map(numbers, kwargs))
    stays = bool(far) if asked is None else torch.device(asked).type == FAR
    if not stays or function in READS:
        return found
    known = {id(tensor.near): tensor for tensor in far}  # an operand changed in place comes back as itself
    return tree_map(lambda leaf: known.get(id(leaf), Far(leaf)) if isinstance(leaf, torch.Tensor) else leaf, found)


def numbers(leaf: Any) -> Any:
    return leaf.near if isinstance(leaf, Far) else leaf


class Pretending(TorchDispatchMode):
    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return call(function, args, kwargs or {})


@contextmanager
def pretended() -> Iterator[None]:
    """torch.tensor takes numbers from Python to the device without being seen, so it goes by way of the CPU; and a
    module's weights are exchanged where it is moved or cast, and not given other memory."""
    make, exchange = torch.tensor, torch.__future__.get_swap_module_params_on_conversion()
    torch.tensor = lambda data, dtype=None, device="cpu": make(data, dtype=dtype).to(device)
    torch.__future__.set_swap_module_params_on_conversion(True)
    try:
        with Pretending():
            yield
    finally:
        torch.tensor = make
        torch.__future__.set_swap_module_params_on_conversion(exchange)
