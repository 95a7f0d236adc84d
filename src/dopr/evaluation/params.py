"""What an evaluation depends on: parameters of its rule, and the configuration its job is given."""

from __future__ import annotations

from typing import Any

from dopr.config.grading import Verify
from dopr.config.schema import SamplingParams
from dopr.config.section import PositiveInt, Section


class EvaluationParams(Section):
    """Everything that decides an evaluation's result but its seed, its input files and the code.

    samples, temperature: By benchmark. prompt: How prompts are written, with the template's hash. rewards: The reward
    functions that judge in the grader's place, by benchmark, each with the hash of its file.
    """

    samples: dict[str, int]
    temperature: dict[str, float]
    max_new_tokens: PositiveInt
    rollout: SamplingParams
    verify: Verify
    prompt: dict[str, Any]
    attn_implementation: str | None
    rewards: dict[str, dict[str, Any]]

    def describe(self) -> dict[str, Any]:
        """Return the parameters as JSON, without what evaluation does not use and what changes no result."""
        engine = {"engine", "kv_cache_gb", "enforce_eager"}
        every = self.model_dump(mode="json", exclude={"verify": {"workers"}})
        return every | {"rollout": {key: value for key, value in every["rollout"].items() if key in engine}}
