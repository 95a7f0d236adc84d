"""The torch engine: batched sampling with log-probabilities, the same bits from the same seed on a CPU.

Each prompt is read once and its cache shared by its samples; finished rows are dropped as they add up; tokens are
drawn by inverting the cumulative distribution, one uniform number a token. On a GPU, where the calls of a step would
cost more than its arithmetic, a batch lies at fixed addresses and its steps are CUDA graphs (dopr.rollout.static).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from dopr.model_folder import end_tokens
from dopr.rollout.decoder import Decoder
from dopr.rollout.engine import Sample
from dopr.rollout.sampling import draw
from dopr.rollout.static import StaticBatch, rows_at_once, uniform_numbers

MOST_ROWS = 512  # in one batch: beyond, a cache outgrows the processor's, and gains nothing
KEEP_SHARE = 0.75  # rows are compacted once fewer than this share of them are unfinished
ROWS_IN = 8  # rows left are a multiple of this: oneDNN compiles a kernel for each number (see dopr.products)


class TorchEngine:
    """Samples from a Decoder until an end token or the token limit.

    static: batches lie at fixed addresses, and what is drawn for a prompt does not depend on the others.
    """

    def __init__(self, decoder: Decoder, end_tokens: Sequence[int], static: bool | None = None) -> None:
        """static: None is on a GPU."""
        self.decoder = decoder
        self.static = decoder.device.type != "cpu" if static is None else static
        goes_on = torch.ones(len(decoder.embedding), dtype=torch.bool)  # for each token
        goes_on[list(end_tokens)] = False
        self.goes_on = goes_on.to(decoder.device)

    @classmethod
    def from_folder(cls, folder: Path, device: str = "cpu", static: bool | None = None) -> TorchEngine:
        """An engine on a checkpoint in the Hugging Face layout."""
        return cls(Decoder.from_folder(folder, device), end_tokens(folder), static)

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """Take over a state dict (see Engine), from whatever device."""
        self.decoder.load_weights({name: weight.to(self.goes_on.device) for name, weight in weights.items()})

    def rest(self) -> None:
        """Nothing is kept between calls but the weights, which are the policy's; a GPU's memory is given back."""
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
        longest = max(len(prompt) for prompt in prompts)
        if longest + max_new_tokens > self.decoder.context:
            raise ValueError(
                f"a prompt of {longest} tokens and {max_new_tokens} new ones exceed the model's context of "
                f"{self.decoder.context}: lower rollout.max_new_tokens"
            )
        generator = torch.Generator().manual_seed(seed)
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        rows = rows_at_once(self.decoder, longest + max_new_tokens) if self.static else MOST_ROWS
        at_once = max(1, rows // n)
        samples: dict[int, list[Sample]] = {}
        for start in range(0, len(order), at_once):
            chosen = order[start : start + at_once]
            batch = [prompts[i] for i in chosen]
            if self.static:
                uniform = uniform_numbers([seed + i * n + j for i in chosen for j in range(n)], max_new_tokens)
                groups = self.generate_static(batch, n, temperature, uniform)
            else:
                groups = self._generate(batch, n, temperature, max_new_tokens, generator)
            samples.update(zip(chosen, groups, strict=True))
        return [samples[i] for i in range(len(prompts))]

    def generate_static(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, uniform: Tensor, runs: int = 1
    ) -> list[list[Sample]]:
        """One batch at fixed addresses; uniform: [samples, most new tokens]; runs: see StaticBatch."""
        tokens, offset = (tensor.to(self.decoder.device) for tensor in _pad_left(prompts))
        shared = offset.repeat_interleave(n)
        batch = StaticBatch(self.decoder, self.goes_on, shared, tokens.shape[1], temperature, uniform, runs)
        samples = self._cut(*batch.run(batch.read_prompts(tokens, offset, n)))
        return [samples[i : i + n] for i in range(0, len(samples), n)]

    def _generate(
        self,
        prompts: Sequence[Sequence[int]],
        n: int,
        temperature: float,
        max_new_tokens: int,
        generator: torch.Generator,
    ) -> list[list[Sample]]:
        """One batch of generate."""
        tokens, offset = _pad_left(prompts)
        cache = self.decoder.new_cache(offset, tokens.shape[1] + max_new_tokens)
        logits = self.decoder.forward(tokens, cache)
        first = torch.arange(len(prompts)).repeat_interleave(n)
        cache, logits = self.decoder.expand(cache, first), logits[first]
        rows = torch.arange(len(first))  # the sample that each row of the batch is
        going = torch.ones(len(first), dtype=torch.bool)
        drawn = torch.zeros(max_new_tokens, len(first), dtype=torch.long)
        logprobs = torch.zeros(max_new_tokens, len(first))
        for position in range(max_new_tokens):
            uniform = torch.rand(len(logits), 1, generator=generator) if temperature else None
            token, logprob = draw(logits, temperature, uniform)
            drawn[position].index_copy_(0, rows, token)
            logprobs[position].index_copy_(0, rows, logprob)
            going &= self.goes_on[token]
            left = int(going.sum())
            if left == 0 or position + 1 == max_new_tokens:
                break
            left = -(-left // ROWS_IN) * ROWS_IN
            if left < KEEP_SHARE * len(rows):
                kept = going.sort(descending=True, stable=True).indices[:left]
                cache, rows, token, going = self.decoder.expand(cache, kept), rows[kept], token[kept], going[kept]
            logits = self.decoder.forward(token[:, None], cache)
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


def _pad_left(prompts: Sequence[Sequence[int]]) -> tuple[Tensor, Tensor]:
    """Token ids [prompts, longest] padded with 0 on the left, and the padding of each row."""
    longest = max(len(prompt) for prompt in prompts)
    offset = torch.tensor([longest - len(prompt) for prompt in prompts])
    return torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]), offset
