"""The grading profiles by name, and the grader's version, which every output names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING

from dopr.config.grading import Extraction, ProfileName

if TYPE_CHECKING:  # so that their code counts in the code hash; only workers import them, with math-verify
    from dopr.grading import deepscaler, mathematics, plain, qwen_eval, reasoning_gym  # noqa: F401

RULES_VERSION = 5  # raise it whenever a verdict may change
PACKAGES = ("math-verify", "latex2sympy2_extended", "sympy")
SCORERS = "reasoning_gym"  # the rule for questions of that package, whatever the profile
MODULES: dict[str, str] = {
    "dopr": "dopr.grading.mathematics",
    "math_verify": "dopr.grading.plain",
    "qwen_eval": "dopr.grading.qwen_eval",
    "deepscaler": "dopr.grading.deepscaler",
    SCORERS: "dopr.grading.reasoning_gym",
}
EXTRACTION: dict[ProfileName, Extraction] = {
    "dopr": "any",
    "math_verify": "exact",
    "qwen_eval": "qwen",
    "deepscaler": "boxed",
}
STRICT_INTEGERS: frozenset[ProfileName] = frozenset({"dopr", "deepscaler"})  # unequal integers are wrong
WITH_BOXES: frozenset[Extraction] = frozenset({"boxed", "stated", "any"})
Rule = Callable[[str, str], str | float]


def load(name: str) -> Rule:
    """Import a profile, or SCORERS, and return its `grade(reference, answer)`: a verdict, or a score from 0 to 1.

    Importing math-verify takes half a second.
    """
    rule: Rule = importlib.import_module(MODULES[name]).grade
    return rule


def grader_version(profile: ProfileName, extraction: Extraction | None = None) -> str:
    """Return the profile and the versions of the rules and packages, in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{profile}/{extraction or EXTRACTION[profile]}, rules {RULES_VERSION}, {packages}"
