"""The parameters of an evaluation: params of its rule, and the configuration of its job."""

from __future__ import annotations

from typing import Any

from dopr.config.grading import Verify
from dopr.config.schema import SamplingParams
from dopr.config.section import PositiveInt, Section


class EvaluationParams(Section):
    """Everything that an evaluation's result depends on, except its seed, its input files and the code."""

    samples: dict[str, int]
    """Benchmark -> sampled completions of each question."""
    temperature: dict[str, float]
    """Benchmark -> sampling temperature."""
    between: PositiveInt | None = None
    """Samples of each question at checkpoints between the first and the last, which then need no greedy completion."""
    max_new_tokens: PositiveInt
    """Token limit of a completion."""
    rollout: SamplingParams
    """The engine that samples completions."""
    verify: Verify
    """How completions are graded."""
    prompt: dict[str, Any]
    """The prompt template, with its hash."""
    attn_implementation: str | None
    """Attention implementation, by its name in transformers."""
    rewards: dict[str, dict[str, Any]]
    """Benchmark -> the reward function that replaces the grader, with the hash of its file."""

    def describe(self) -> dict[str, Any]:
        """Return the parameters as JSON, without those that evaluation does not use or that change no result."""
        used = {"engine", "kv_cache_gb", "enforce_eager"}
        params = self.model_dump(mode="json", exclude={"verify": {"workers"}})
        return params | {"rollout": {key: value for key, value in params["rollout"].items() if key in used}}
