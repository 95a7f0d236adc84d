"""How the tokens of a batch lie in memory: one flat list without padding, in which equal prompts are held once.

Everything but attention treats tokens one by one, so padding and repeated prompts would only cost time there.
Attention gathers padded rows from the flat list: a part is a set of rows, each with its queries and its keys.
The list is filled up with copies of its first token to a rounded length (see dopr.products.round_up).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import accumulate

import torch
from torch import Tensor

from dopr.products import round_up

Tokens = tuple[int, ...]
SHARED_AT_MOST = 2**22  # attention scores of one head; longer completions are read with prompts of their own


@dataclass(frozen=True)
class Part:
    """Rows that attend together; all are indices into the flat tokens, padded with 0 on the right.

    queries: [rows, most queries]. keys: [rows, most keys]. real: which of the flattened queries are no padding, in flat
    order. mask: [rows, 1, 1, most queries, most keys], -inf where a query must not see a key, else 0; without one, the
    keys are the queries', and each query sees itself and what lies before it.
    """

    queries: Tensor
    keys: Tensor
    real: Tensor
    mask: Tensor | None = None

    def cast(self, dtype: torch.dtype) -> Part:
        """The part with its mask in another type."""
        return self if self.mask is None else replace(self, mask=self.mask.to(dtype))

    def to(self, device: torch.device) -> Part:
        """The part on another device."""
        mask = None if self.mask is None else self.mask.to(device)
        return Part(self.queries.to(device), self.keys.to(device), self.real.to(device), mask)


@dataclass(frozen=True)
class Layout:
    """tokens, positions: [tokens]. The parts' real queries, one part after the other, are the flat tokens."""

    tokens: Tensor
    positions: Tensor
    parts: tuple[Part, ...]

    def to(self, device: torch.device) -> Layout:
        """The layout on another device."""
        return Layout(self.tokens.to(device), self.positions.to(device), tuple(part.to(device) for part in self.parts))


@dataclass(frozen=True)
class Reading:
    """A layout of prompts and completions. For each completion token, in order: `before`, the flat place that predicts
    it, and `targets`, the token; both filled up like the flat list."""

    layout: Layout
    before: Tensor
    targets: Tensor

    def to(self, device: torch.device) -> Reading:
        """The reading on another device: it is put together on the CPU, whose lists it comes from."""
        return Reading(self.layout.to(device), self.before.to(device), self.targets.to(device))


def rows_of(ids: Tensor) -> Layout:
    """Each row of ids [rows, length] on its own, its right padding included."""
    places = torch.arange(ids.numel(), device=ids.device)
    filled = torch.cat([places, places.new_zeros(round_up(len(places)) - len(places))])
    index = places.view(ids.shape)
    return Layout(ids.flatten()[filled], filled % ids.shape[1], (Part(index, index, filled),))


def read_together(prompts: Sequence[Sequence[int]], completions: Sequence[Sequence[int]]) -> Reading:
    """A layout of completions, each but its last token, which nothing follows, and their prompts: shared where that
    does not take too much memory."""
    read = [tuple(completion[:-1]) for completion in completions]
    longest = max(map(len, read))
    few = len(read) * longest * (longest + max(map(len, prompts))) <= SHARED_AT_MOST
    layout, before = (_shared if few else _alone)([tuple(prompt) for prompt in prompts], read)
    return Reading(layout, _filled(before), _filled([token for row in completions for token in row]))


def _alone(prompts: list[Tokens], read: list[Tokens]) -> tuple[Layout, list[int]]:
    """Each completion behind a prompt of its own, and the places before its tokens."""
    rows = [prompt + completion for prompt, completion in zip(prompts, read, strict=True)]
    places = _ranges(rows)
    before = [place for prompt, row in zip(prompts, places, strict=True) for place in row[len(prompt) - 1 :]]
    padded = _padded(places)
    return _layout(rows, [0] * len(rows), [Part(padded, padded, _real(places))]), before


def _shared(prompts: list[Tokens], read: list[Tokens]) -> tuple[Layout, list[int]]:
    """Each distinct prompt once, then the completions, and the places before their tokens."""
    numbers = {prompt: i for i, prompt in enumerate(dict.fromkeys(prompts))}
    rows = [*numbers, *read]
    places = _ranges(rows)
    prompt_places = [places[numbers[prompt]] for prompt in prompts]
    own = places[len(numbers) :]
    before = [place for prompt, row in zip(prompt_places, own, strict=True) for place in (prompt[-1], *row)]
    first = _padded(places[: len(numbers)])
    parts = [Part(first, first, _real(places[: len(numbers)]))]
    if any(read):
        parts.append(_continuation(prompt_places, own))
    return _layout(rows, [0] * len(numbers) + [len(prompt) for prompt in prompts], parts), before


def _continuation(prompts: list[range], completions: list[range]) -> Part:
    """Completions that see their prompt and themselves."""
    read, own = _padded(prompts), _padded(completions)
    rows, length = own.shape
    beyond = torch.arange(read.shape[1]) >= torch.tensor([len(prompt) for prompt in prompts])[:, None]
    future = torch.ones(length, length, dtype=torch.bool).triu(1)
    hidden = torch.cat([beyond[:, None].expand(-1, length, -1), future.expand(rows, -1, -1)], -1)
    mask = torch.zeros(hidden.shape).masked_fill(hidden, float("-inf"))[:, None, None]
    return Part(own, torch.cat([read, own], 1), _real(completions), mask)


def _layout(rows: list[Tokens], starts: list[int], parts: list[Part]) -> Layout:
    """The layout of rows whose positions start at `starts`."""
    positions = [start + i for start, row in zip(starts, rows, strict=True) for i in range(len(row))]
    tokens = _filled([token for row in rows for token in row])
    last = parts[-1]
    spare = last.real.new_zeros(len(tokens) - len(positions))
    return Layout(tokens, _filled(positions), (*parts[:-1], replace(last, real=torch.cat([last.real, spare]))))


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


def _filled(values: list[int]) -> Tensor:
    """The values, filled up with the first to a rounded length."""
    return torch.tensor(values + values[:1] * (round_up(len(values)) - len(values)))
