"""The grader's part of the configuration."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from dopr.config.section import PositiveInt, Section, Share

# For commands that show every error and must not stop at a share of them.
OFFLINE: dict[str, Any] = {"seconds": 5, "memory_mb": 2048, "max_error_share": 1}
ProfileName = Literal["dopr", "math_verify", "qwen_eval", "deepscaler"]
Extraction = Literal["boxed", "stated", "any", "qwen", "exact", "gsm8k", "tags"]


class Verify(Section):
    """The grader of rewards and evaluation, and the limits of one comparison."""

    seconds: float = Field(gt=0)
    """Processor seconds for one comparison."""
    memory_mb: PositiveInt
    """Memory of one worker, in MiB."""
    max_error_share: Share
    """A run stops when a larger share of its verdicts is `error`."""
    profile: ProfileName = "dopr"
    """The rules of comparison. dopr.grading.grader lists them."""
    extraction: Extraction | None = None
    r"""Where the answer of a completion is.

    `boxed` is the last \boxed{}. `stated` adds what follows "answer is". `any` adds the last formula or number. `qwen`
    does as Qwen's public code. `exact` takes the whole completion. `gsm8k` takes the text after the last ####. `tags`
    takes what is between the last <answer> and </answer>. null is the profile's own: `any` for dopr, `exact` for
    math_verify, `qwen` for qwen_eval, `boxed` for deepscaler. Completions for reasoning-gym are read by `tags`, and by
    the one given here only where there are none.
    """
    workers: PositiveInt = 1
    """Processes that compare answers. The verdicts do not depend on it."""
