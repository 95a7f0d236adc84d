"""The records that all packages share: prompts and rollouts."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

Verdict = Literal["correct", "wrong", "unparsed", "timeout", "error"]
# What a step did with a rollout: profile, train, held for the next step, or discarded.
Phase = Literal["profile", "train", "held", "discarded"]


class Grade(NamedTuple):
    """The verdict on a completion, and its score from 0 to 1: 1 for a correct answer, and less for others."""

    verdict: Verdict
    score: float


@dataclass(frozen=True)
class Prompt:
    """A question with a verifiable answer.

    Args:
        id: Unique in its pool.
        text: The exact text that the policy reads.
        answer: The reference answer. For a question of reasoning-gym, all that its scorer reads (dopr.grading.entries).
        family: The task family or the data source; for an evaluation question, the benchmark.
        category: The subject, if known.
    """

    id: str
    text: str
    answer: str
    family: str
    category: str = ""

    def row(self) -> dict[str, Any]:
        """Return the prompt as a JSON object, without an unknown category."""
        fields = asdict(self)
        return fields if self.category else {key: value for key, value in fields.items() if key != "category"}


@dataclass(frozen=True)
class Rollout:
    """One graded completion.

    Args:
        prompt: The prompt.
        prompt_tokens: The token ids of the prompt.
        sample: The index of the completion in its group.
        tokens: The token ids of the completion.
        logprobs: Log-probabilities of the tokens under the policy that sampled them, at the sampling temperature.
        text: The decoded completion.
        finish: `stop` or `length` (dopr.rollout.engine.Sample).
        verdict: The result of grading against the label of the run. That label is wrong in the control with wrong
            labels (dopr.grading.rewards).
        reward: The reward for training. It can differ from the verdict, as in the control with random rewards.
    """

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
        """Build a rollout from the output of dataclasses.asdict."""
        return cls(**{**fields, "prompt": Prompt(**fields["prompt"])})


def derive_seed(*parts: int | str) -> int:
    """Return a 63-bit seed derived from the seed of the run and the purpose, so that no random state is stored."""
    digest = hashlib.sha256("/".join(map(str, parts)).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
