"""The grader's part of the configuration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from dopr.config.section import PositiveInt, Section, Share

OFFLINE: dict[str, Any] = {"seconds": 5, "memory_mb": 2048, "max_error_share": 1}  # of commands that show every error
ProfileName = Literal["math_verify", "qwen_eval", "deepscaler"]
Extraction = Literal["boxed", "stated", "any", "qwen", "exact", "gsm8k"]


class Verify(Section):
    r"""How completions are graded, and the limits of one comparison.

    profile: the rules (dopr.grading.grader lists them).
    extraction: where an answer is looked for: `boxed`, in the last \boxed{}; `stated`, else after "answer is";
        `any`, else the last number; `qwen`, as Qwen's public code does; `exact`, the whole completion; `gsm8k`, after
        the last ####. null is the profile's own: `qwen` for qwen_eval, `boxed` for the others.
    seconds: of processor time. memory_mb: of one worker. workers: processes; verdicts do not depend on it.
    max_error_share: a run with a larger share of `error` verdicts stops.
    """

    seconds: float = Field(gt=0)
    memory_mb: PositiveInt
    max_error_share: Share
    profile: ProfileName = "math_verify"
    extraction: Extraction | None = None
    workers: PositiveInt = 1
