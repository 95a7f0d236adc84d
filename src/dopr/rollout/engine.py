"""The interface of the engines that generate completions."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Sample:
    """One completion.

    Args:
        tokens: The token ids, with the end token.
        logprobs: The log-probability of each token, at the sampling temperature.
        finish: `stop` if it ended with an end token, `length` if it reached the token limit.
    """

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish


class Weights(Protocol):
    """The weights of the trained policy, with adapters merged into them. They are created one by one, when iterated.

    For a sharded policy this needs communication: all ranks must iterate over the same weights in the same order.
    """

    def merged(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights by their names in the network."""

    def as_saved(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the weights by their names in checkpoint files, with the output head even if it is tied."""


class Engine(Protocol):
    """Generates completions from the current policy."""

    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """Return n samples for each prompt, [prompts, n].

        Sample j of prompt i is drawn with the random seed `seed + i * n + j`, so equal seeds give equal samples.

        Args:
            prompts: The token ids of each prompt.
            n: Samples of each prompt.
            temperature: The sampling temperature; 0 is greedy.
            max_new_tokens: The most tokens of a completion.
            seed: The seed of the first sample.

        Raises:
            ValueError: If a prompt and its completion may exceed the context of the model.
        """

    def load_weights(self, weights: Weights) -> None:
        """Sample from these weights from now on."""

    def load_folder(self, folder: Path) -> None:
        """Sample from the model in a folder from now on; it must have the same shape."""

    def sleep(self) -> None:
        """Release the memory that only sampling needs, until the next load_weights."""
