"""Micro-batches: an update's rows in parts that are computed one after another, so that memory follows the part.

Gradients add up over the parts. Averages are over the whole mini-batch (dopr.training.loss.Extent), so cutting changes
an update by rounding alone. Rows of like length go together, as attention pads each part to its longest row.
"""

from __future__ import annotations

from collections.abc import Sequence

from dopr.records import Rollout
from dopr.runtime.distributed import world_size


def split_micro_batches(rollouts: Sequence[Rollout], most: int | None) -> list[list[int]]:
    """The rollouts' places in parts of at most `most` padded tokens (rows x longest prompt with completion) a process.

    The longest rows come first, so that memory that does not suffice shows at once; a row longer than `most` is a part
    of its own. None: one part, in the order given.
    """
    if most is None:
        return [list(range(len(rollouts)))]
    lengths = [len(rollout.prompt_tokens) + len(rollout.tokens) for rollout in rollouts]
    parts: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda i: -lengths[i]):
        if parts and (len(parts[-1]) + 1) * lengths[parts[-1][0]] <= most * world_size():
            parts[-1].append(place)
        else:
            parts.append([place])
    return parts
