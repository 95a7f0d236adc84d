"""Pack prompts and completions into one batch for the network, so that equal prompts are read once.

Two layouts:

    packed  one flat list of tokens without padding, in which each distinct prompt stands once, before its completions.
            Attention gathers padded rows from the list (dopr.models.attention); all else treats tokens one by one.
    rows    each prompt with its completion on a row of its own, padded on the right: for networks whose attention is
            not plain, such as a sliding window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

Tokens = tuple[int, ...]
SHARED_AT_MOST = 2**22  # attention scores of one head; longer completions are read with prompts of their own


@dataclass(frozen=True)
class Segment:
    """Rows of a packed batch that attend together; indices into the flat tokens, padded with 0 on the right.

    queries: [rows, most queries]. keys: [rows, most keys]. real: which of the flattened queries are no padding, in flat
    order. bias: [rows, 1, most queries, most keys], -inf where a query must not see a key, else 0; without one, the
    keys are the queries', and each query sees itself and what lies before it.
    """

    queries: Tensor
    keys: Tensor
    real: Tensor
    bias: Tensor | None = None
    stacks: dict[int, Tensor] = field(default_factory=dict, compare=False)

    def stacked(self, count: int) -> Tensor | None:
        """The bias `count` times above itself, made once for all layers."""
        if self.bias is None:
            return None
        if count not in self.stacks:
            self.stacks[count] = self.bias.repeat(1, 1, count, 1)
        return self.stacks[count]

    def to(self, device: torch.device, dtype: torch.dtype) -> Segment:
        """Move the part to a device, and its bias to a type."""
        bias = None if self.bias is None else self.bias.to(device, dtype)
        return Segment(self.queries.to(device), self.keys.to(device), self.real.to(device), bias)


@dataclass(frozen=True)
class PackedBatch:
    """Prompts with completions, as the network takes them.

    inputs: keyword arguments of the network. before: the place, in the flattened hidden states, that predicts each
    completion token, [tokens], row after row. targets: these tokens, [tokens]. mask: which places of
    [rows, longest completion] they have.
    """

    inputs: dict[str, Any]
    before: Tensor
    targets: Tensor
    mask: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> PackedBatch:
        """Move the batch to a device; it is put together on the CPU, whose lists it comes from."""
        moved = {name: _moved(value, device, dtype) for name, value in self.inputs.items()}
        return replace(
            self,
            inputs=moved,
            before=self.before.to(device),
            targets=self.targets.to(device),
            mask=self.mask.to(device),
        )


def _moved(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(value, tuple):
        return tuple(part.to(device, dtype) for part in value)
    return value.to(device)


def pack(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], shared: bool) -> PackedBatch:
    """Lay out completions, each but its last token, which nothing follows, behind their prompts.

    Args:
        shared: whether the network's attention takes packed batches; else rows are padded.
    """
    read = [tuple(completion[:-1]) for completion in completions]
    whole = [tuple(prompt) for prompt in prompts]
    longest = max(map(len, read))
    few = len(read) * longest * (longest + max(map(len, whole))) <= SHARED_AT_MOST
    layout = (_shared if few else _alone) if shared else _rows
    inputs, before = layout(whole, read)
    lengths = torch.tensor([len(completion) for completion in completions])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    targets = torch.tensor([token for completion in completions for token in completion])
    return PackedBatch(inputs, torch.tensor(before), targets, mask)


Layout = tuple[dict[str, Any], list[int]]  # inputs of the network, and the places before the completions' tokens


def _rows(prompts: list[Tokens], read: list[Tokens]) -> Layout:
    """Each completion behind a prompt of its own, on a padded row."""
    rows = [prompt + completion for prompt, completion in zip(prompts, read, strict=True)]
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
    before = [
        i * longest + place
        for i, (prompt, row) in enumerate(zip(prompts, rows, strict=True))
        for place in range(len(prompt) - 1, len(row))
    ]
    return {"input_ids": ids, "attention_mask": mask.long()}, before


def _alone(prompts: list[Tokens], read: list[Tokens]) -> Layout:
    """Each completion behind a prompt of its own, without padding."""
    rows = [prompt + completion for prompt, completion in zip(prompts, read, strict=True)]
    places = _ranges(rows)
    before = [place for prompt, row in zip(prompts, places, strict=True) for place in row[len(prompt) - 1 :]]
    padded = _padded(places)
    return _flat(rows, [0] * len(rows), [Segment(padded, padded, _real(places))]), before


def _shared(prompts: list[Tokens], read: list[Tokens]) -> Layout:
    """Each distinct prompt once, then the completions."""
    numbers = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    rows = [*numbers, *read]
    places = _ranges(rows)
    prompt_places = [places[numbers[prompt]] for prompt in prompts]
    own = places[len(numbers) :]
    before = [place for prompt, row in zip(prompt_places, own, strict=True) for place in (prompt[-1], *row)]
    first = _padded(places[: len(numbers)])
    parts = [Segment(first, first, _real(places[: len(numbers)]))]
    if any(read):
        parts.append(_continuation(prompt_places, own))
    return _flat(rows, [0] * len(numbers) + [len(prompt) for prompt in prompts], parts), before


def _continuation(prompts: list[range], completions: list[range]) -> Segment:
    """Completions that see their prompt and themselves."""
    read, own = _padded(prompts), _padded(completions)
    rows, length = own.shape
    beyond = torch.arange(read.shape[1]) >= torch.tensor([len(prompt) for prompt in prompts])[:, None]
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    hidden = torch.cat([beyond[:, None].expand(-1, length, -1), future.expand(rows, -1, -1)], -1)
    bias = torch.zeros(hidden.shape).masked_fill(hidden, float("-inf"))[:, None]
    return Segment(own, torch.cat([read, own], 1), _real(completions), bias)


def _flat(rows: list[Tokens], starts: list[int], parts: list[Segment]) -> dict[str, Any]:
    """The network's inputs for rows whose positions start at `starts`, as one sequence."""
    positions = [start + i for start, row in zip(starts, rows, strict=True) for i in range(len(row))]
    tokens = [token for row in rows for token in row]
    return {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": torch.empty(0, 0, 0, 0),  # dopr.models.attention.NO_MASK
        "parts": tuple(parts),
    }


def _ranges(rows: list[Tokens]) -> list[range]:
    """Where the tokens of each row are in the flat list."""
    ends = list(accumulate(map(len, rows)))
    return [range(end - len(row), end) for row, end in zip(rows, ends, strict=True)]


def _padded(rows: list[range]) -> Tensor:
    """The rows as one tensor, padded with 0 on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


def _real(rows: list[range]) -> Tensor:
    """Where the elements of rows are in _padded(rows), flattened."""
    longest = max(map(len, rows))
    return torch.tensor([i * longest + j for i, row in enumerate(rows) for j in range(len(row))])
