"""Data-parallel training of one policy by several processes: FSDP2 under torchrun, one GPU or CPU process per rank.

Each rank holds a shard of the weights, the gradients and the optimiser state. It samples its share of the rollouts and
computes its share of every micro-batch. All ranks receive all graded rollouts, so they make the same choices and the
same updates. Rank 0 alone grades rollouts and writes files. With one process, which is the default, every function here
returns its input and does not communicate.

The loss averages over the whole mini-batch, whichever rank computes a row (dopr.training.loss.Normalisation), so
gradients must be summed over the ranks. FSDP2 averages them; `rank_share` therefore returns the world size as a factor
for the loss of each rank.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")
SHUTDOWN = ExitStack()  # callbacks to run before the process group closes
TIMEOUT = timedelta(hours=1)  # ranks wait for each other while one grades or samples


def env_world_size() -> int:
    """Return the number of processes that torchrun started for this job; 1 without torchrun.

    Nodes of a cluster may set WORLD_SIZE and RANK as well. Without torchrun they are not ours.
    """
    return int(os.environ["WORLD_SIZE"]) if dist.is_torchelastic_launched() else 1


def world_size() -> int:
    """Return the number of ranks in the process group; 1 without a group."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """Return the rank of this process; 0 without a group."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main_process() -> bool:
    """Return whether this is rank 0, which grades rollouts and writes files."""
    return rank() == 0


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Open a process group of all processes that torchrun started; do nothing if there is one process.

    On GPUs, each rank takes one of the GPUs that it sees.

    Args:
        device: `cuda` (NCCL, with Gloo for CPU tensors) or `cpu` (Gloo).
    """
    if env_world_size() == 1:
        yield
        return
    # The warning is about in-place changes of the logits, and the training code makes none.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    if device == "cuda":
        index = int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count()  # 0 where a rank sees one GPU alone
        torch.cuda.set_device(index)
        os.environ["LOCAL_RANK"] = str(index)  # vLLM chooses its GPU by this variable
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=TIMEOUT)
    try:
        yield
    finally:
        SHUTDOWN.close()
        if dist.is_initialized():  # vLLM closes the group when it shuts down
            dist.destroy_process_group()


def on_shutdown(callback: Callable[[], object]) -> None:
    """Register a callback to run before the process group closes; do nothing if there is one process.

    The group holds a reference to the callback, and so keeps its object alive until then.
    """
    if world_size() > 1:
        SHUTDOWN.callback(callback)


def barrier() -> None:
    """Wait until all ranks have called this."""
    if world_size() > 1:
        dist.barrier()


# --- communication of Python objects ---


def broadcast_from_main(function: Callable[[], T]) -> T:
    """Run a function on rank 0 and return its result on all ranks."""
    if world_size() == 1:
        return function()
    result = [function() if is_main_process() else None]
    dist.broadcast_object_list(result, src=0)
    return result[0]  # type: ignore[return-value]


def all_gather(value: T) -> list[T]:
    """Return the values of all ranks, in the order of the ranks, on all ranks."""
    if world_size() == 1:
        return [value]
    values: list[Any] = [None] * world_size()
    dist.all_gather_object(values, value)
    return values


def rank_share(rows: Sequence[T]) -> tuple[Sequence[T], float]:
    """Return the rows that this rank computes, and the factor for their loss.

    Every rank must run a forward and a backward pass, because each holds a shard of the weights. A rank without rows
    therefore computes the first row with factor 0.
    """
    share = rows[rank() :: world_size()]
    return (share, float(world_size())) if share else (rows[:1], 0.0)


# --- sharded tensors ---


def shard(network: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Shard the weights of a network over the ranks, in place: one FSDP unit per layer, and one for the rest."""
    if world_size() == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh  # these imports take a second
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(next(network.parameters()).device.type, (world_size(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


def full_tensor(tensor: Tensor) -> Tensor:
    """Gather a sharded tensor on every rank. All ranks must call this; a tensor that is not sharded is returned."""
    if world_size() == 1:
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """Return this rank's shard of a full tensor, with the mesh and placements of `like`; without communication.

    The tensor is returned as it is if `like` is not sharded or has another shape.

    Args:
        tensor: The full tensor, with equal values on all ranks.
        like: The tensor whose layout to use.
    """
    if world_size() == 1:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
