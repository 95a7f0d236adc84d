"""A batch that is decoded at fixed addresses, so that one step of it is one CUDA graph.

Decoding a token takes hundreds of small kernels, which a GPU runs faster than Python can call them. A graph is called
once. For that, everything a step touches is allocated before the first: the cache for the longest completion, the
tokens, and the uniform numbers of all draws. Attention reads the cache up to the next multiple of READ_IN places, and
once half the rows have ended the others move to the front; each number of rows and places has a graph of its own.

What is drawn for a sample depends on its own seed alone, whatever is generated beside it. Elsewhere than on a GPU the
same steps run without graphs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from dopr.rollout.decoder import Cache, Decoder
from dopr.rollout.sampling import draw

READ_IN = 128  # places: fewer would take more graphs, more would read more of what is not there yet
LOOK_EVERY = 16  # tokens between two counts of the unfinished rows, for which the GPU must be waited for
MOST_ROWS = 1024  # in one batch, and no more than have room
ROOM = 0.6  # of the free memory, for a batch
READ_AT_ONCE = 2**16  # prompt tokens, padding included
FEWEST_ROWS = 8  # below, a step takes no less time


class StaticBatch:
    """Samples of some prompts; `rows` of them, the first, are still decoded."""

    def __init__(
        self,
        decoder: Decoder,
        goes_on: Tensor,
        offset: Tensor,
        read: int,
        temperature: float,
        uniform: Tensor,
        runs: int = 1,
    ) -> None:
        """goes_on: of each token, whether it is no end. offset: padding of each sample's prompt, of `read` places in
        all. uniform: [samples, most new tokens], in [0, 1). runs: that the samples are of, equally many of each, in
        order; so they stay (Decoder.adapt)."""
        samples, new = uniform.shape
        device = decoder.device
        self.decoder, self.goes_on, self.temperature = decoder, goes_on, temperature
        self.read, self.rows, self.new, self.runs = read, samples, new, runs
        self.uniform = uniform.to(device)
        self.cache = decoder.new_cache(offset, read + new)
        self.cache.mask[:, :, read:] = float("-inf")  # each place is opened when it is written
        self.order = torch.arange(samples, device=device)  # the sample of each row
        self.token = torch.zeros(samples, dtype=torch.long, device=device)
        self.going = torch.ones(samples, dtype=torch.bool, device=device)
        self.place = torch.full((1,), read, device=device)  # where the token drawn last belongs
        self.drawn = torch.zeros(new, samples, dtype=torch.long, device=device)
        self.logprobs = torch.zeros(new, samples, device=device)
        self.graphs: dict[tuple[int, int], Callable[[], None]] = {}
        self.pool = torch.cuda.graph_pool_handle() if device.type == "cuda" else None

    def read_prompts(self, tokens: Tensor, offset: Tensor, n: int) -> Tensor:
        """Read prompts [prompts, read] for n samples each; returns the logits behind them [samples, vocabulary]."""
        logits = []
        order = torch.arange(len(tokens), device=tokens.device).view(self.runs, -1)
        parts = [part.flatten() for part in order.split(max(1, READ_AT_ONCE // (self.read * self.runs)), 1)]
        for part in parts:
            samples = (part[:, None] * n + torch.arange(n, device=part.device)).flatten()
            cache = self.decoder.new_cache(offset[part], self.read)
            logits.append(self.decoder.forward(tokens[part], cache))
            for mine, kept in zip(self.cache.layers, cache.layers, strict=True):
                mine[:, samples, :, : self.read] = kept.repeat_interleave(n, 1)
        return torch.cat(logits)[torch.cat(parts).argsort()].repeat_interleave(n, 0)

    def run(self, logits: Tensor) -> tuple[Tensor, Tensor]:
        """Draw from the prompts' logits [samples, vocabulary], and on until every row has ended or is full.

        Returns tokens and log-probabilities [samples, most new tokens]; what is behind an end has no meaning.
        """
        self._take(logits)
        for count in range(1, self.new):
            if count % LOOK_EVERY == 0 and not self._any_left():
                break
            self._step(min(-(-(self.read + count) // READ_IN) * READ_IN, self.read + self.new))
        return self.drawn.t(), self.logprobs.t()

    def _step(self, end: int) -> None:
        """Decode one token of each row, reading `end` places."""
        key = (self.rows, end)
        if key not in self.graphs:
            changed = [self.token, self.going, self.place]
            self.graphs[key] = captured(lambda: self._decode(*key), changed, self.pool)
        self.graphs[key]()

    def _decode(self, rows: int, end: int) -> None:
        mask = self.cache.mask[: rows * self.decoder.kv_heads, :, :end]
        mask.index_fill_(2, self.place, 0.0)
        cache = Cache([layer[:, :rows] for layer in self.cache.layers], mask, self.cache.turns[:rows], 0)
        logits = self.decoder.forward_at(self.place, self.token[:rows, None], cache, mask)
        self.place += 1
        self._take(logits)

    def _take(self, logits: Tensor) -> None:
        """Draw a token for each row, and note it."""
        rows, count = len(logits), self.place - self.read
        order = self.order[:rows]
        uniform = self.uniform[order, count][:, None] if self.temperature else None
        token, logprob = draw(logits, self.temperature, uniform)
        self.token[:rows] = token
        self.drawn[count, order] = token
        self.logprobs[count, order] = logprob
        self.going[:rows] &= self.goes_on[token]

    def _any_left(self) -> bool:
        """Whether a row goes on; where of each run less than half do, those move to the front, in place."""
        each = self.rows // self.runs
        going = self.going[: self.rows].view(self.runs, each)
        left = int(going.sum(1).max())
        room = max(FEWEST_ROWS, 1 << (left - 1).bit_length()) if left else 0
        if 0 < room <= each // 2:
            first = torch.arange(0, self.rows, each, device=going.device)[:, None]
            kept = (going.sort(descending=True, stable=True).indices[:, :room] + first).flatten()
            room *= self.runs
            mask = self.cache.mask.unflatten(0, (-1, self.decoder.kv_heads))
            layers = [layer.transpose(0, 1) for layer in self.cache.layers]
            for tensor in (self.order, self.token, self.going, self.cache.turns, mask, *layers):
                tensor[:room] = tensor[kept]
            self.rows = room
        return left > 0


def captured(step: Callable[[], None], changed: Sequence[Tensor], pool: Any) -> Callable[[], None]:
    """A step as a CUDA graph; without a pool of memory for graphs, the step itself.

    changed: what a step changes and a second one must not find changed. The step is tried once before it is captured,
    so that libraries have what they allocate at the first call. (torch.cuda.graph would do the same, and collect
    garbage each time.)
    """
    if pool is None:
        return step
    before = [tensor.clone() for tensor in changed]
    graph, aside = torch.cuda.CUDAGraph(), side_stream()
    aside.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(aside):
        step()
        torch.cuda.synchronize()
        graph.capture_begin(pool=pool)
        step()  # is recorded, and runs nothing
        graph.capture_end()
    torch.cuda.current_stream().wait_stream(aside)
    for tensor, value in zip(changed, before, strict=True):
        tensor.copy_(value)
    return graph.replay


@cache
def side_stream() -> torch.cuda.Stream:
    """The stream that graphs are captured on: one, as the memory freed on a stream stays with it."""
    return torch.cuda.Stream()


def uniform_numbers(seeds: Sequence[int], new: int) -> Tensor:
    """Numbers in [0, 1) for samples with these seeds [samples, new]; drawn on the CPU, so equal on all devices."""
    return torch.stack([torch.rand(new, generator=torch.Generator().manual_seed(seed % 2**63)) for seed in seeds])


def rows_at_once(decoder: Decoder, length: int) -> int:
    """How many samples of a length have room, prompt included: their cache, and the logits with copies in float32."""
    if decoder.device.type != "cuda":
        return MOST_ROWS
    free, _ = torch.cuda.mem_get_info(decoder.device)
    free += torch.cuda.memory_reserved(decoder.device) - torch.cuda.memory_allocated(decoder.device)
    cache = 2 * decoder.layers_count * decoder.kv_heads * decoder.head_size * length * decoder.embedding.element_size()
    return max(1, min(MOST_ROWS, int(ROOM * free / (cache + 16 * len(decoder.embedding)))))
