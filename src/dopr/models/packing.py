"""Pack prompts and completions into one batch for the network, so that equal prompts are computed once.

There are two formats:

    packed  One flat list of tokens without padding. Each distinct prompt is in it once, before the completions.
            Attention gathers padded rows from the list (dopr.models.attention); all other layers treat tokens
            independently.
    padded  Each prompt with its completion in a row, padded on the right: for networks with attention that packing does
            not support, such as a sliding window.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

Tokens = tuple[int, ...]
MAX_SHARED_SCORES = 2**22  # attention scores of one head; beyond, sharing prompts would need too much memory


@dataclass(frozen=True)
class Segment:
    """Rows of a packed batch that attend together.

    Attributes:
        queries: Indices into the flat tokens, [rows, longest], padded with 0 on the right.
        keys: The same of the keys, [rows, longest].
        query_slots: Which elements of the flattened queries are not padding, in the order of the flat tokens.
        bias: [rows, 1, queries, keys], -inf where a query must not attend to a key, else 0. If None, keys and queries
            are the same tokens, and attention is causal.
    """

    queries: Tensor
    keys: Tensor
    query_slots: Tensor
    bias: Tensor | None = None
    repeated: dict[int, Tensor] = field(default_factory=dict, compare=False)

    def repeated_bias(self, count: int) -> Tensor | None:
        """Return the bias repeated `count` times along the queries; it is computed once for all layers."""
        if self.bias is None:
            return None
        if count not in self.repeated:
            self.repeated[count] = self.bias.repeat(1, 1, count, 1)
        return self.repeated[count]

    def to(self, device: torch.device, dtype: torch.dtype) -> Segment:
        """Move the segment to a device, and cast its bias."""
        bias = None if self.bias is None else self.bias.to(device, dtype)
        return Segment(self.queries.to(device), self.keys.to(device), self.query_slots.to(device), bias)


@dataclass(frozen=True)
class PackedBatch:
    """Prompts and completions as inputs of the network.

    Attributes:
        inputs: Keyword arguments of the network.
        predictor_indices: For each completion token, [tokens], row by row: the index in the flattened hidden states
            that predicts it.
        targets: The completion tokens, [tokens], in the same order.
        mask: True for tokens, False for padding, [rows, longest completion].
    """

    inputs: dict[str, Any]
    predictor_indices: Tensor
    targets: Tensor
    mask: Tensor

    def to(self, device: torch.device, dtype: torch.dtype) -> PackedBatch:
        """Move the batch from the CPU to a device, and cast what is floating point."""
        return replace(
            self,
            inputs={name: _moved(value, device, dtype) for name, value in self.inputs.items()},
            predictor_indices=self.predictor_indices.to(device),
            targets=self.targets.to(device),
            mask=self.mask.to(device),
        )


def _moved(value: Any, device: torch.device, dtype: torch.dtype) -> Any:
    if isinstance(value, tuple):
        return tuple(segment.to(device, dtype) for segment in value)
    return value.to(device)


def pack(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]], shared: bool) -> PackedBatch:
    """Pack completions, each without its last token, which predicts nothing, after their prompts.

    Args:
        shared: Whether the network has packed attention; else rows are padded.
    """
    inner = [tuple(completion[:-1]) for completion in completions]
    whole = [tuple(prompt) for prompt in prompts]
    longest = max(map(len, inner))
    fits = len(inner) * longest * (longest + max(map(len, whole))) <= MAX_SHARED_SCORES
    make_layout = (_shared_prompts if fits else _own_prompts) if shared else _padded_rows
    inputs, predictor_indices = make_layout(whole, inner)
    lengths = torch.tensor([len(completion) for completion in completions])
    mask = torch.arange(int(lengths.max())) < lengths[:, None]
    targets = torch.tensor([token for completion in completions for token in completion])
    return PackedBatch(inputs, torch.tensor(predictor_indices), targets, mask)


Layout = tuple[dict[str, Any], list[int]]  # inputs and predictor indices of a PackedBatch


def _padded_rows(prompts: list[Tokens], completions: list[Tokens]) -> Layout:
    """Put each completion after its own prompt, in a padded row."""
    rows = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
    longest = max(map(len, rows))
    ids = torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])
    mask = torch.arange(longest) < torch.tensor([[len(row)] for row in rows])
    predictor_indices = [
        i * longest + position
        for i, (prompt, row) in enumerate(zip(prompts, rows, strict=True))
        for position in range(len(prompt) - 1, len(row))
    ]
    return {"input_ids": ids, "attention_mask": mask.long()}, predictor_indices


def _own_prompts(prompts: list[Tokens], completions: list[Tokens]) -> Layout:
    """Put each completion after its own prompt, without padding."""
    rows = [prompt + completion for prompt, completion in zip(prompts, completions, strict=True)]
    ranges = _flat_ranges(rows)
    predictor_indices = [
        index for prompt, indices in zip(prompts, ranges, strict=True) for index in indices[len(prompt) - 1 :]
    ]
    padded = _pad(ranges)
    return _flat_inputs(rows, [0] * len(rows), [Segment(padded, padded, _slots(ranges))]), predictor_indices


def _shared_prompts(prompts: list[Tokens], completions: list[Tokens]) -> Layout:
    """Put each distinct prompt first, once, then the completions."""
    row_of_prompt = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    count = len(row_of_prompt)
    rows = [*row_of_prompt, *completions]
    ranges = _flat_ranges(rows)
    prompt_ranges = [ranges[row_of_prompt[prompt]] for prompt in prompts]
    completion_ranges = ranges[count:]
    predictor_indices = [
        index
        for prompt, completion in zip(prompt_ranges, completion_ranges, strict=True)
        for index in (prompt[-1], *completion)
    ]
    padded = _pad(ranges[:count])
    segments = [Segment(padded, padded, _slots(ranges[:count]))]
    if any(completions):
        segments.append(_completion_segment(prompt_ranges, completion_ranges))
    start_positions = [0] * count + [len(prompt) for prompt in prompts]
    return _flat_inputs(rows, start_positions, segments), predictor_indices


def _completion_segment(prompts: list[range], completions: list[range]) -> Segment:
    """Make the segment in which completions attend to their prompt and to themselves."""
    prompt_keys, queries = _pad(prompts), _pad(completions)
    rows, length = queries.shape
    is_padding = torch.arange(prompt_keys.shape[1]) >= torch.tensor([len(prompt) for prompt in prompts])[:, None]
    is_future = torch.ones(length, length, dtype=torch.bool).triu(1)
    hidden = torch.cat([is_padding[:, None].expand(-1, length, -1), is_future.expand(rows, -1, -1)], -1)
    bias = torch.zeros(hidden.shape).masked_fill(hidden, float("-inf"))[:, None]
    return Segment(queries, torch.cat([prompt_keys, queries], 1), _slots(completions), bias)


def _flat_inputs(rows: list[Tokens], start_positions: list[int], segments: list[Segment]) -> dict[str, Any]:
    """Return the network's inputs: the rows as one sequence, with positions that start anew in each row."""
    positions = [start + i for start, row in zip(start_positions, rows, strict=True) for i in range(len(row))]
    tokens = [token for row in rows for token in row]
    return {
        "input_ids": torch.tensor([tokens]),
        "position_ids": torch.tensor([positions]),
        "attention_mask": torch.empty(0, 0, 0, 0),  # dopr.models.attention.NO_MASK
        "segments": tuple(segments),
    }


def _flat_ranges(rows: list[Tokens]) -> list[range]:
    """Return the indices of each row's tokens in the flat list."""
    ends = list(accumulate(map(len, rows)))
    return [range(end - len(row), end) for row, end in zip(rows, ends, strict=True)]


def _pad(rows: list[range]) -> Tensor:
    """Return the rows as one tensor, padded with 0 on the right."""
    longest = max(map(len, rows))
    return torch.tensor([[*row, *[0] * (longest - len(row))] for row in rows])


def _slots(rows: list[range]) -> Tensor:
    """Return the indices of the rows' elements in the flattened _pad(rows)."""
    longest = max(map(len, rows))
    return torch.tensor([i * longest + j for i, row in enumerate(rows) for j in range(len(row))])
