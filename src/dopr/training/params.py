"""The parameters of a training or profiling run: those of its Snakemake rule, and its job's configuration."""

from __future__ import annotations

from typing import Any

from dopr.config.grading import Verify
from dopr.config.recipe import Recipe
from dopr.config.schema import SamplingParams
from dopr.config.section import PositiveInt, Section


class TrainingParams(Section):
    """Everything that decides a run's result, except its seed, its input files and the code.

    Attributes:
        prompt: The prompt template, with its hash.
        checkpoint_every: Steps from one checkpoint to the next.
        snapshot_steps: The steps after which the policy is saved for evaluation.
        reward_file: The hash of the user's reward function.
    """

    recipe: Recipe
    rollout: SamplingParams
    verify: Verify
    prompt: dict[str, Any]
    attn_implementation: str | None
    checkpoint_every: PositiveInt
    snapshot_steps: tuple[int, ...]
    reward_file: str | None = None

    def describe(self) -> dict[str, Any]:
        """Return the parameters as JSON, without the number of workers that grade, which changes no result."""
        return self.model_dump(mode="json", exclude={"verify": {"workers"}})
