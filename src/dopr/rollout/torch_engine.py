"""The torch engine: batched sampling from a transformers network, the same bits from the same seed on a CPU.

transformers' generate reads a prompt for each of its samples, decodes finished rows to the end, and copies its cache at
each token. Here each prompt is read once and its cache shared out to its samples, finished rows are dropped, and tokens
are drawn by inverting the cumulative distribution. `benchmarks/sampling.py` measures what that gives.

Each sample has random numbers of its own, so what is drawn for it does not depend on what is sampled beside it, but for
rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor
from transformers import PreTrainedModel

from dopr.models.attention import NO_MASK
from dopr.models.kinds import check_samples
from dopr.models.loading import load_network
from dopr.models.model_folder import context_of, end_tokens
from dopr.models.network import takes_packed
from dopr.rollout.cache import new_cache
from dopr.rollout.engine import Sample, Weights
from dopr.rollout.sampling import draw, uniform_numbers

MOST_ROWS = 512  # in one batch: beyond, a cache outgrows the processor's, and gains nothing
MOST_TOKENS = 2**17  # of the cache of a batch
KEEP_SHARE = 0.75  # rows are compacted once fewer than this share of them are unfinished
ROWS_IN = 8  # rows left are a multiple of this, so that libraries meet few shapes
LOOK_EVERY = {"cuda": 16}  # tokens between two counts of the unfinished rows, for which a GPU must be waited for


class TorchEngine:
    """Samples from a network until an end token or the token limit."""

    def __init__(
        self, network: PreTrainedModel, ends: Sequence[int], own: bool = False, attention: str | None = None
    ) -> None:
        """own: the network is the engine's, to which weights have to be handed over, and not the trained one itself.
        attention: of networks that are loaded later, see dopr.models.loading."""
        check_samples(network)
        self.network, self.own, self.attention = network, own, attention
        config = network.config.get_text_config()
        self.context = context_of(config.to_dict())
        self.goes_on = torch.ones(config.vocab_size, dtype=torch.bool, device=network.device)  # for each token
        self.goes_on[list(ends)] = False

    @classmethod
    def from_folder(
        cls, folder: Path, dtype: str = "float32", device: str = "cpu", attention: str | None = None
    ) -> TorchEngine:
        """Open an engine on a model folder, with a network of its own."""
        return cls(load_network(folder, dtype, device, attention), end_tokens(folder), own=True, attention=attention)

    def load_weights(self, weights: Weights) -> None:
        """Sample from these weights from now on (see Engine)."""
        if self.own:
            self.network.load_state_dict(dict(weights.merged()), strict=False)  # tied weights are named once

    def load_folder(self, folder: Path) -> None:
        """Sample from a model folder of the same shape from now on (see Engine)."""
        dtype, device = str(self.network.dtype).removeprefix("torch."), self.network.device.type
        self.network = load_network(folder, dtype, device, self.attention)

    def sleep(self) -> None:
        """Nothing is kept between calls but the weights; a GPU's memory is given back."""
        if self.goes_on.is_cuda:
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """See Engine.

        Raises:
            ValueError: a prompt and its completion would not fit the model's context.
        """
        longest = max(len(prompt) for prompt in prompts) + max_new_tokens
        if self.context is not None and longest > self.context:
            raise ValueError(
                f"a prompt of {longest - max_new_tokens} tokens and {max_new_tokens} new ones exceed the model's "
                f"context of {self.context}: lower rollout.max_new_tokens"
            )
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        at_once = max(1, min(MOST_ROWS, MOST_TOKENS // longest) // n)
        samples: dict[int, list[Sample]] = {}
        for start in range(0, len(order), at_once):
            chosen = order[start : start + at_once]
            uniform = uniform_numbers([seed + i * n + j for i in chosen for j in range(n)], max_new_tokens)
            groups = self._generate([prompts[i] for i in chosen], n, temperature, uniform)
            samples.update(zip(chosen, groups, strict=True))
        return [samples[i] for i in range(len(prompts))]

    def _generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, uniform: Tensor
    ) -> list[list[Sample]]:
        """Sample one batch; uniform: [samples, most new tokens], in [0, 1)."""
        device, new = self.goes_on.device, uniform.shape[1]
        batch = Decoding(self.network, prompts, n, new)
        logits, uniform = batch.read_prompts(), uniform.to(device)
        rows = torch.arange(len(uniform), device=device)  # the sample that each row of the batch is
        going = torch.ones(len(rows), dtype=torch.bool, device=device)
        drawn = torch.zeros(new, len(rows), dtype=torch.long, device=device)
        logprobs = torch.zeros(new, len(rows), device=device)
        for position in range(new):
            token, logprob = draw(logits, temperature, uniform[rows, position, None] if temperature else None)
            drawn[position].index_copy_(0, rows, token)
            logprobs[position].index_copy_(0, rows, logprob)
            going &= self.goes_on[token]
            if position + 1 == new:
                break
            if (position + 1) % LOOK_EVERY.get(device.type, 1) == 0:
                left = int(going.sum())
                if left == 0:
                    break
                left = -(-left // ROWS_IN) * ROWS_IN
                if left < KEEP_SHARE * len(rows):
                    kept = going.sort(descending=True, stable=True).indices[:left]
                    batch.keep(kept)
                    rows, token, going = rows[kept], token[kept], going[kept]
            logits = batch.step(token)
        samples = self._cut(drawn.t(), logprobs.t())
        return [samples[i : i + n] for i in range(0, len(samples), n)]

    def _cut(self, drawn: Tensor, logprobs: Tensor) -> list[Sample]:
        """Samples from what was drawn [samples, positions], each up to its first end token."""
        ended = ~self.goes_on[drawn]
        stopped = ended.any(-1)
        lengths = torch.where(stopped, ended.int().argmax(-1) + 1, drawn.shape[-1])
        return [
            Sample(tuple(tokens[:length]), tuple(scores[:length]), "stop" if stop else "length")
            for tokens, scores, length, stop in zip(
                drawn.tolist(), logprobs.tolist(), lengths.tolist(), stopped.tolist(), strict=True
            )
        ]


class Decoding:
    """A batch that grows by a token a row at each step: network, cache, and what rows may see."""

    def __init__(self, network: PreTrainedModel, prompts: Sequence[Sequence[int]], n: int, new: int) -> None:
        self.network, self.n = network, n
        self.packs = takes_packed(network)
        self.tokens, self.offset = (tensor.to(network.device) for tensor in pad_left(prompts))
        self.filled = self.tokens.shape[1]
        self.padded = bool(self.offset.any())
        self.cache = new_cache(network.config, self.filled + new)
        places = torch.arange(self.filled + new, device=network.device)
        self.seen = places >= self.offset[:, None]  # [rows, length]

    def read_prompts(self) -> Tensor:
        """Read the prompts, and make n rows of each; return the logits behind them, [rows, vocabulary]."""
        positions = (torch.arange(self.filled, device=self.tokens.device) - self.offset[:, None]).clamp_min(0)
        mask = self.seen[:, : self.filled].long() if self.padded else None
        logits = self._forward(self.tokens, positions, mask)
        self.cache.batch_repeat_interleave(self.n)
        self.seen, self.offset = (kept.repeat_interleave(self.n, 0) for kept in (self.seen, self.offset))
        return logits.repeat_interleave(self.n, 0)

    def step(self, token: Tensor) -> Tensor:
        """Append a token [rows] to each row; return the logits behind it."""
        positions = (self.filled - self.offset)[:, None]
        self.filled += 1
        mask = NO_MASK if self.packs else None
        if self.padded:
            seen = self.seen[:, : self.filled]
            mask = seen[:, None, None] if self.packs else seen.long()  # transformers takes a ready mask as it is
        return self._forward(token[:, None], positions, mask)

    def keep(self, rows: Tensor) -> None:
        """Drop all rows but these."""
        self.cache.batch_select_indices(rows)
        self.seen, self.offset = self.seen[rows], self.offset[rows]

    def _forward(self, tokens: Tensor, positions: Tensor, mask: Tensor | None) -> Tensor:
        logits: Tensor = self.network(
            input_ids=tokens,
            position_ids=positions,
            attention_mask=mask,
            past_key_values=self.cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
        return logits[:, -1]


def pad_left(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids [prompts, longest] padded with 0 on the left, and the padding of each row."""
    longest = max(len(prompt) for prompt in prompts)
    offset = torch.tensor([longest - len(prompt) for prompt in prompts])
    return torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]), offset
