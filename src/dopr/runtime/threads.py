"""The number of threads that torch uses."""

from __future__ import annotations

import torch

from dopr.runtime.distributed import env_world_size


def use_threads(count: int) -> None:
    """Divide `count` threads between the processes of the job; each gets at least one.

    On busy cores, more than one thread is far slower for small matrices.
    """
    torch.set_num_threads(max(1, count // env_world_size()))
