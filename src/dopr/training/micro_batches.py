"""Micro-batches: parts of a mini-batch that are computed one after another, to limit memory.

Gradients add up over the parts. Averages are over the whole mini-batch (dopr.training.loss.Normalisation), so
micro-batches change an update by rounding alone. Samples of similar length share a micro-batch, because attention pads
each one to its longest sample.
"""

from __future__ import annotations

from collections.abc import Sequence

from dopr.records import Rollout
from dopr.runtime.distributed import world_size


def split_micro_batches(rollouts: Sequence[Rollout], max_tokens: int | None) -> list[list[int]]:
    """Split rollouts into micro-batches, longest rollouts first, so that running out of memory shows early.

    Args:
        max_tokens: The padded tokens (rollouts x longest prompt with completion) that a process computes at a time; a
            longer rollout is a micro-batch of its own. None makes one micro-batch, in the given order.

    Returns:
        The indices of the rollouts in each micro-batch.
    """
    if max_tokens is None:
        return [list(range(len(rollouts)))]
    lengths = [len(rollout.prompt_tokens) + len(rollout.tokens) for rollout in rollouts]
    micro_batches: list[list[int]] = []
    for i in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if micro_batches and (len(micro_batches[-1]) + 1) * lengths[micro_batches[-1][0]] <= max_tokens * world_size():
            micro_batches[-1].append(i)
        else:
            micro_batches.append([i])
    return micro_batches
