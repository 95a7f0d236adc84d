"""How many threads a job's arithmetic uses."""

from __future__ import annotations

import torch

from dopr.runtime.distributed import env_world_size


def use_threads(count: int) -> None:
    """Let torch use `count` threads in all processes of the job; more than one on busy cores is far slower for small
    matrices."""
    torch.set_num_threads(max(1, count // env_world_size()))
