"""What an engine that generates completions promises."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from torch import Tensor

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Sample:
    """One completion: token ids (the end token included), their log-probabilities at the sampling temperature,
    and whether it ended by itself or was cut at the token limit."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish


class Weights(Protocol):
    """The weights of the trained policy, with adapters merged into them; each is made when it is asked for.

    Of a sharded policy all processes must ask for the same, in the same order.
    """

    def merged(self) -> Iterator[tuple[str, Tensor]]:
        """Weights by their names in the network."""

    def as_saved(self) -> Iterator[tuple[str, Tensor]]:
        """Weights by their names in checkpoint files, a tied output head among them."""


class Engine(Protocol):
    """Generates completions from the current policy."""

    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """n samples for each prompt, in order. Temperature 0 is greedy. Equal seeds give equal samples."""

    def load_weights(self, weights: Weights) -> None:
        """Sample from these weights from now on."""

    def load_folder(self, folder: Path) -> None:
        """Sample from the model in a folder, of the same shape, from now on."""

    def sleep(self) -> None:
        """Hand back memory that only sampling needs, until the next load_weights."""
