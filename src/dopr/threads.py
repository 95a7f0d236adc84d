"""How many threads a job's arithmetic uses."""

from __future__ import annotations

import torch


def use_threads(count: int) -> None:
    """Let torch use `count` threads; more than one on busy cores is far slower for small matrices."""
    torch.set_num_threads(count)
