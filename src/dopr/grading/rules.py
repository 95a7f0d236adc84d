"""The grading profiles by name, and the grader's version, which every output names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING

from dopr.config.grading import Extraction, ProfileName

if TYPE_CHECKING:  # so that their code counts in the code hash; only workers import them, with math-verify
    from dopr.grading import deepscaler, mathematics, plain, qwen_eval  # noqa: F401

RULES_VERSION = 5  # raise it whenever a verdict may change
PACKAGES = ("math-verify", "latex2sympy2_extended", "sympy")
MODULES: dict[ProfileName, str] = {
    "dopr": "dopr.grading.mathematics",
    "math_verify": "dopr.grading.plain",
    "qwen_eval": "dopr.grading.qwen_eval",
    "deepscaler": "dopr.grading.deepscaler",
}
EXTRACTION: dict[ProfileName, Extraction] = {
    "dopr": "any",
    "math_verify": "exact",
    "qwen_eval": "qwen",
    "deepscaler": "boxed",
}
STRICT_INTEGERS: frozenset[ProfileName] = frozenset({"dopr", "deepscaler"})  # unequal integers are wrong
WITH_BOXES: frozenset[Extraction] = frozenset({"boxed", "stated", "any"})
Rule = Callable[[str, str], str]


def load(profile: ProfileName) -> Rule:
    """Import a profile and return its `grade(reference, answer)`. Importing math-verify takes half a second."""
    rule: Rule = importlib.import_module(MODULES[profile]).grade
    return rule


def grader_version(profile: ProfileName, extraction: Extraction | None = None) -> str:
    """Return the profile and the versions of the rules and packages, in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{profile}/{extraction or EXTRACTION[profile]}, rules {RULES_VERSION}, {packages}"
