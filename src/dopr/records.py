"""The nouns every part of the library shares."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal

Verdict = Literal["correct", "wrong", "unparsed", "timeout", "error"]
Phase = Literal["profile", "train", "held", "discarded"]  # why a rollout was generated, and what became of it


@dataclass(frozen=True)
class Prompt:
    """A question with a verifiable answer. `text` is exactly what the policy reads.

    family: its task family or source; of a benchmark's question, the benchmark. category: its subject, if known.
    """

    id: str
    text: str
    answer: str
    family: str
    category: str = ""

    def row(self) -> dict[str, Any]:
        """The prompt as one JSON object, without what is not known."""
        fields = asdict(self)
        return fields if self.category else {key: value for key, value in fields.items() if key != "category"}


@dataclass(frozen=True)
class Rollout:
    """One graded completion. `logprobs` are those of the policy that drew `tokens`, at the sampling temperature.
    `verdict` is against the label the run was graded by, which is wrong in a control with wrong labels
    (dopr.grading.rewards); `reward` is what training sees, and may differ from the verdict, as in a control with random
    rewards."""

    prompt: Prompt
    prompt_tokens: tuple[int, ...]
    sample: int
    tokens: tuple[int, ...]
    logprobs: tuple[float, ...]
    text: str
    finish: str
    verdict: Verdict
    reward: float

    @classmethod
    def from_fields(cls, fields: dict[str, Any]) -> Rollout:
        """The inverse of dataclasses.asdict."""
        return cls(**{**fields, "prompt": Prompt(**fields["prompt"])})


def derive_seed(*parts: int | str) -> int:
    """A 63-bit seed from the run's seed and what it is for, so that no random state has to be carried along."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
