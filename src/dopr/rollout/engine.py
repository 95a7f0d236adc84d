"""What an engine that generates completions promises."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Finish = Literal["stop", "length"]


@dataclass(frozen=True)
class Sample:
    """One completion: token ids (the end token included), their log-probabilities at the sampling temperature,
    and whether it ended by itself or was cut at the token limit."""

    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    finish: Finish


class Engine(Protocol):
    """Generates completions from the current policy."""

    def generate(
        self, prompts: Sequence[Sequence[int]], n: int, temperature: float, max_new_tokens: int, seed: int
    ) -> list[list[Sample]]:
        """n samples for each prompt, in order. Temperature 0 is greedy. Equal seeds give equal samples."""

    def load_weights(self, weights: Mapping[str, Any]) -> None:
        """Sample from these weights from now on."""

    def rest(self) -> None:
        """Hand back memory that only sampling needs, until the next load_weights."""
