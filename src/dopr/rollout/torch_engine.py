"""The torch engine: batched sampling with log-probabilities, the same bits from the same seed on a CPU.

Each prompt is read once and its cache shared by its samples; finished rows are dropped as they add up; tokens are
drawn by inverting the cumulative distribution, one uniform number a token.
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

MOST_ROWS = 512  # in one batch: beyond, a cache outgrows the processor's, and gains nothing
KEEP_SHARE = 0.75  # rows are compacted once fewer than this share of them are unfinished
ROWS_IN = 8  # rows left are a multiple of this: oneDNN compiles a kernel for each number (see dopr.products)


class TorchEngine:
    """Samples from a Decoder until an end token or the token limit."""

    def __init__(self, decoder: Decoder, end_tokens: Sequence[int]) -> None:
        self.decoder = decoder
        self.goes_on = torch.ones(len(decoder.embedding), dtype=torch.bool)  # for each token
        self.goes_on[list(end_tokens)] = False

    @classmethod
    def from_folder(cls, folder: Path) -> TorchEngine:
        """An engine on a checkpoint in the Hugging Face layout."""
        return cls(Decoder.from_folder(folder), end_tokens(folder))

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """Take over a state dict (see Engine)."""
        self.decoder.load_weights(weights)

    def rest(self) -> None:
        """Nothing is kept between calls but the weights, which are the policy's."""

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
        at_once = max(1, MOST_ROWS // n)
        samples: dict[int, list[Sample]] = {}
        for start in range(0, len(order), at_once):
            chosen = order[start : start + at_once]
            groups = self._generate([prompts[i] for i in chosen], n, temperature, max_new_tokens, generator)
            samples.update(zip(chosen, groups, strict=True))
        return [samples[i] for i in range(len(prompts))]

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
            token, logprob = _draw(logits, temperature, generator)
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


def _draw(logits: Tensor, temperature: float, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """One token a row and its log-probability, in float32. Greedy (temperature 0) reports those of temperature 1."""
    scores = (logits.float() / (temperature or 1.0)).log_softmax(-1)
    if temperature == 0:
        token = scores.argmax(-1, keepdim=True)
    else:
        cumulative = scores.exp().cumsum(-1)
        uniform = torch.rand(len(scores), 1, generator=generator) * cumulative[:, -1:]
        token = torch.searchsorted(cumulative, uniform, right=True).clamp_max(scores.shape[-1] - 1)
    return token.squeeze(-1), scores.gather(-1, token).squeeze(-1)
