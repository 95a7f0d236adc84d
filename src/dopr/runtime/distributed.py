"""Several processes, each with a GPU or processor of its own, that train one policy together: FSDP2 under torchrun.

Every process holds a shard of the weights, of their gradients and of what the optimiser remembers; each samples its
share of the rollouts and computes its share of every micro-batch. Rollouts are gathered and judged once, so that all
processes select, weigh and draw alike; the first alone writes files. With one process, which is the rule, each function
here gives back what it was given.

Averages in the loss are over the whole mini-batch whoever computes it (dopr.training.loss.Extent), so gradients are
summed over the processes. FSDP2 takes their mean; a process's loss is therefore multiplied by their number (share_of).
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
ENDING = ExitStack()  # what ends before the processes part
PATIENCE = timedelta(hours=1)  # for a process that grades or samples longer than the others


def env_world_size() -> int:
    """How many processes torchrun started for this job; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", 1))


def world_size() -> int:
    """How many processes have joined."""
    return dist.get_world_size() if dist.is_initialized() else 1


def rank() -> int:
    """This process's number among them."""
    return dist.get_rank() if dist.is_initialized() else 0


def is_main_process() -> bool:
    """Whether this is the process that judges rollouts and writes files."""
    return rank() == 0


@contextmanager
def process_group(device: str) -> Iterator[None]:
    """Within it, the processes that torchrun started work together; on GPUs, each takes its own of those it sees."""
    if env_world_size() == 1:
        yield
        return
    # Nothing here changes logits in place, which is what this warns of.
    warnings.filterwarnings("ignore", message="FSDP2-wrapped module .* returned a view tensor")
    if device == "cuda":
        place = int(os.environ["LOCAL_RANK"]) % torch.cuda.device_count()  # 0 where each sees its own alone
        torch.cuda.set_device(place)
        os.environ["LOCAL_RANK"] = str(place)  # vLLM goes by it
    dist.init_process_group("cpu:gloo,cuda:nccl" if device == "cuda" else "gloo", timeout=PATIENCE)
    try:
        yield
    finally:
        ENDING.close()
        if dist.is_initialized():  # an engine may have ended this with itself
            dist.destroy_process_group()


def on_shutdown(end: Callable[[], object]) -> None:
    """Call `end`, and keep alive what it is of, when these processes part; where there is one, nothing is done."""
    if world_size() > 1:
        ENDING.callback(end)


def barrier() -> None:
    """Go on when all processes are here."""
    if world_size() > 1:
        dist.barrier()


# --- what all must agree on ---


def broadcast_from_main(decide: Callable[[], T]) -> T:
    """What the first process decides, in all of them."""
    if world_size() == 1:
        return decide()
    answer = [decide() if is_main_process() else None]
    dist.broadcast_object_list(answer, src=0)
    return answer[0]  # type: ignore[return-value]


def all_gather(mine: T) -> list[T]:
    """What each process has, in their order, in all of them."""
    if world_size() == 1:
        return [mine]
    found: list[Any] = [None] * world_size()
    dist.all_gather_object(found, mine)
    return found


def rank_share(rows: Sequence[T]) -> tuple[Sequence[T], float]:
    """This process's share of some rows, and what its loss is multiplied by.

    Every process must compute something, as each brings a part of the weights: one without a row takes the first, and
    nothing of it counts.
    """
    mine = rows[rank() :: world_size()]
    return (mine, float(world_size())) if mine else (rows[:1], 0.0)


# --- shards ---


def shard(network: nn.Module, layers: Sequence[nn.Module]) -> None:
    """Leave each process a shard of a network's weights, in place: layers by themselves, and the rest."""
    if world_size() == 1:
        return
    from torch.distributed.device_mesh import init_device_mesh  # these take a second to import
    from torch.distributed.fsdp import fully_shard

    mesh = init_device_mesh(next(network.parameters()).device.type, (world_size(),))
    for layer in layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(network, mesh=mesh, reshard_after_forward=True)


def full_tensor(tensor: Tensor) -> Tensor:
    """A tensor that may be sharded, put together in every process; all must ask for it."""
    if world_size() == 1:
        return tensor
    from torch.distributed.tensor import DTensor

    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def shard_like(tensor: Tensor, like: Tensor) -> Tensor:
    """This process's shard of a whole tensor that every process has, laid out as `like`, if that is of its shape."""
    if world_size() == 1:
        return tensor
    from torch.distributed.tensor import DTensor, distribute_tensor

    if not isinstance(like, DTensor) or tensor.shape != like.shape:
        return tensor
    return distribute_tensor(tensor.to(like.device), like.device_mesh, like.placements, src_data_rank=None)
