"""The grading profiles by name, and the grader's version, which every output names."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.metadata import version
from typing import TYPE_CHECKING

from dopr.config.grading import Extraction, ProfileName

if TYPE_CHECKING:  # so that their code counts in the code hash; only workers import them, with math-verify
    from dopr.grading import deepscaler, mathematics, qwen_eval  # noqa: F401

RULES_VERSION = 5  # raise it whenever a verdict may change
PACKAGES = ("math-verify", "latex2sympy2_extended", "sympy")
MODULES: dict[ProfileName, str] = {
    "math_verify": "dopr.grading.mathematics",
    "qwen_eval": "dopr.grading.qwen_eval",
    "deepscaler": "dopr.grading.deepscaler",
}
EXTRACTION: dict[ProfileName, Extraction] = {"math_verify": "boxed", "qwen_eval": "qwen", "deepscaler": "boxed"}
STRICT_INTEGERS: frozenset[ProfileName] = frozenset({"math_verify", "deepscaler"})  # unequal integers are wrong
JOINED_BOXES: frozenset[ProfileName] = frozenset({"math_verify"})  # boxes in a row are a list, if the reference is one
WITHOUT_BOXES: frozenset[Extraction] = frozenset({"exact", "gsm8k"})  # do not look for boxes
Rule = Callable[[str, str], str]


def load(profile: ProfileName) -> Rule:
    """Import a profile and return its `grade(reference, answer)`. Importing math-verify takes half a second."""
    rule: Rule = importlib.import_module(MODULES[profile]).grade
    return rule


def grader_version(profile: ProfileName, extraction: Extraction | None = None) -> str:
    """Return the profile and the versions of the rules and packages, in one line."""
    packages = ", ".join(f"{name} {version(name)}" for name in PACKAGES)
    return f"{profile}/{extraction or EXTRACTION[profile]}, rules {RULES_VERSION}, {packages}"
