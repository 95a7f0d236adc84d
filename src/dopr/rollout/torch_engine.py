"""The torch engine: batched sampling from a transformers network. On a CPU, equal seeds give equal bits.

It differs from `generate` of transformers in three ways: a prompt is prefilled once for all its samples, finished rows
are dropped from the batch, and the cache is not copied at each token. `benchmarks/sampling.py` measures the gain.

Each sample has its own random numbers, so it does not depend on the other samples of the batch, except through
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
from dopr.models.loading import load_network, reload_weights
from dopr.models.model_folder import context_of, end_tokens
from dopr.models.network import takes_packed
from dopr.rollout.cache import new_cache
from dopr.rollout.engine import Sample, Weights
from dopr.rollout.sampling import draw, uniform_numbers

MAX_ROWS = 512  # of a batch: with more, the key-value cache exceeds the cache of a CPU, and nothing is gained
MAX_CACHE_TOKENS = 2**17  # of a batch
COMPACT_BELOW = 0.75  # finished rows are dropped once the unfinished share of the batch is below this
ROW_MULTIPLE = 8  # the number of rows is rounded up to a multiple of this, so that kernels see few shapes
CHECK_EVERY = {"cuda": 16}  # tokens between two counts of the unfinished rows; each count synchronises with the GPU


class TorchEngine:
    """An engine that samples from a transformers network until an end token or the token limit."""

    def __init__(
        self,
        network: PreTrainedModel,
        end_token_ids: Sequence[int],
        owns_network: bool = False,
        attention: str | None = None,
    ) -> None:
        """Sample from a network.

        Args:
            network: The network to sample from.
            end_token_ids: The token ids that end a completion.
            owns_network: Whether the network is a copy that belongs to the engine. If so, load_weights copies weights
                into it; otherwise it is the trained network itself, whose weights are always current.
            attention: The attention implementation of networks loaded by load_folder (see dopr.models.loading).
        """
        check_samples(network)
        self.network, self.owns_network, self.attention = network, owns_network, attention
        config = network.config.get_text_config()
        self.context = context_of(config.to_dict())
        self.is_end_token = torch.zeros(config.vocab_size, dtype=torch.bool, device=network.device)
        self.is_end_token[list(end_token_ids)] = True

    @classmethod
    def from_folder(
        cls, folder: Path, dtype: str = "float32", device: str = "cpu", attention: str | None = None
    ) -> TorchEngine:
        """Load the network of a model folder and open an engine on it."""
        network = load_network(folder, dtype, device, attention)
        return cls(network, end_tokens(folder), owns_network=True, attention=attention)

    def load_weights(self, weights: Weights) -> None:
        """Sample from these weights from now on (see Engine)."""
        if self.owns_network:
            # Not strict, because `merged` names tied weights once.
            self.network.load_state_dict(dict(weights.merged()), strict=False)

    def load_folder(self, folder: Path) -> None:
        """Sample from a model folder of the same shape from now on (see Engine)."""
        if not reload_weights(self.network, folder):
            dtype, device = str(self.network.dtype).removeprefix("torch."), self.network.device.type
            self.network = load_network(folder, dtype, device, self.attention)

    def sleep(self) -> None:
        """Return cached GPU memory to the device; nothing but the weights is kept between calls."""
        if self.is_end_token.is_cuda:
            torch.cuda.empty_cache()

    @torch.inference_mode()
    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """See Engine."""
        longest = max(len(prompt) for prompt in prompts) + max_new_tokens
        if self.context is not None and longest > self.context:
            raise ValueError(
                f"a prompt of {longest - max_new_tokens} tokens and {max_new_tokens} new ones exceed the model's "
                f"context of {self.context}: lower rollout.max_new_tokens"
            )
        order = sorted(range(len(prompts)), key=lambda i: len(prompts[i]))
        batch_size = max(1, min(MAX_ROWS, MAX_CACHE_TOKENS // longest) // n)
        samples: dict[int, list[Sample]] = {}
        for start in range(0, len(order), batch_size):
            batch = order[start : start + batch_size]
            uniform = uniform_numbers([seed + i * n + j for i in batch for j in range(n)], max_new_tokens)
            groups = self._generate([prompts[i] for i in batch], n, temperature, uniform)
            samples.update(zip(batch, groups, strict=True))
        return [samples[i] for i in range(len(prompts))]

    def _generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, uniform: Tensor
    ) -> list[list[Sample]]:
        """Sample n completions of each prompt as one batch; uniform: [samples, max_new_tokens], in [0, 1)."""
        device, max_new_tokens = self.is_end_token.device, uniform.shape[1]
        batch = DecodingBatch(self.network, prompts, n, max_new_tokens)
        logits, uniform = batch.prefill(), uniform.to(device)
        sample_indices = torch.arange(len(uniform), device=device)  # the sample in each row of the batch
        unfinished = torch.ones(len(uniform), dtype=torch.bool, device=device)  # for each row
        tokens = torch.zeros(max_new_tokens, len(uniform), dtype=torch.long, device=device)
        logprobs = torch.zeros(max_new_tokens, len(uniform), device=device)
        for position in range(max_new_tokens):
            token, logprob = draw(logits, temperature, uniform[sample_indices, position, None] if temperature else None)
            tokens[position].index_copy_(0, sample_indices, token)
            logprobs[position].index_copy_(0, sample_indices, logprob)
            unfinished &= ~self.is_end_token[token]
            if position + 1 == max_new_tokens:
                break
            if (position + 1) % CHECK_EVERY.get(device.type, 1) == 0:
                num_unfinished = int(unfinished.sum())
                if num_unfinished == 0:
                    break
                num_rows = -(-num_unfinished // ROW_MULTIPLE) * ROW_MULTIPLE
                if num_rows < COMPACT_BELOW * len(sample_indices):
                    rows = unfinished.sort(descending=True, stable=True).indices[:num_rows]
                    batch.select_rows(rows)
                    sample_indices, token, unfinished = sample_indices[rows], token[rows], unfinished[rows]
            logits = batch.decode(token)
        samples = self._truncate(tokens.t(), logprobs.t())
        return [samples[i : i + n] for i in range(0, len(samples), n)]

    def _truncate(self, tokens: Tensor, logprobs: Tensor) -> list[Sample]:
        """Cut each sample after its first end token; tokens and logprobs: [samples, positions]."""
        is_end = self.is_end_token[tokens]
        stopped = is_end.any(-1)
        lengths = torch.where(stopped, is_end.int().argmax(-1) + 1, tokens.shape[-1])
        return [
            Sample(tuple(ids[:length]), tuple(scores[:length]), "stop" if stop else "length")
            for ids, scores, length, stop in zip(
                tokens.tolist(), logprobs.tolist(), lengths.tolist(), stopped.tolist(), strict=True
            )
        ]


class DecodingBatch:
    """A batch of rows that grow by one token at each step, with their key-value cache.

    Args:
        network: The network to run.
        prompts: The token ids of each prompt.
        n: Rows of each prompt after prefill.
        max_new_tokens: The most tokens to append to a row.
    """

    def __init__(self, network: PreTrainedModel, prompts: Sequence[Sequence[int]], n: int, max_new_tokens: int) -> None:
        self.network, self.n = network, n
        self.takes_packed = takes_packed(network)
        self.prompt_tokens, self.padding = (tensor.to(network.device) for tensor in pad_left(prompts))
        self.length = self.prompt_tokens.shape[1]
        self.padded = bool(self.padding.any())
        self.cache = new_cache(network.config, self.length + max_new_tokens)
        positions = torch.arange(self.length + max_new_tokens, device=network.device)
        self.attended = positions >= self.padding[:, None]  # [rows, length]

    def prefill(self) -> Tensor:
        """Run the prompts, then repeat each row n times; return the logits of the next token, [rows, vocabulary]."""
        positions = torch.arange(self.length, device=self.prompt_tokens.device) - self.padding[:, None]
        mask = self.attended[:, : self.length].long() if self.padded else None
        logits = self._forward(self.prompt_tokens, positions.clamp_min(0), mask)
        self.cache.batch_repeat_interleave(self.n)
        self.attended, self.padding = (rows.repeat_interleave(self.n, 0) for rows in (self.attended, self.padding))
        return logits.repeat_interleave(self.n, 0)

    def decode(self, token: Tensor) -> Tensor:
        """Append a token to each row, [rows]; return the logits of the next token, [rows, vocabulary]."""
        positions = (self.length - self.padding)[:, None]
        self.length += 1
        mask = NO_MASK if self.takes_packed else None
        if self.padded:
            attended = self.attended[:, : self.length]
            # transformers passes a four-dimensional mask on unchanged
            mask = attended[:, None, None] if self.takes_packed else attended.long()
        return self._forward(token[:, None], positions, mask)

    def select_rows(self, rows: Tensor) -> None:
        """Keep these rows, in this order, and drop all others."""
        self.cache.batch_select_indices(rows)
        self.attended, self.padding = self.attended[rows], self.padding[rows]

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
    """Return the token ids padded with 0 on the left, [prompts, longest], and the padding of each row, [prompts]."""
    longest = max(len(prompt) for prompt in prompts)
    padding = torch.tensor([longest - len(prompt) for prompt in prompts])
    return torch.tensor([[0] * (longest - len(prompt)) + list(prompt) for prompt in prompts]), padding
