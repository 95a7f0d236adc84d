"""The scorers of reasoning-gym. Only worker processes import this, as a scorer may hang or need any amount of memory.

Some scorers evaluate the answer as Python, with `eval` or with SymPy's parser, which uses it. A process that can be
killed does not undo what an evaluated answer did. So these scorers see no answer that could call anything but
mathematical functions: they get UNREADABLE for it.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any

from reasoning_gym.factory import create_dataset

from dopr.grading.entries import INSTALL, PACKAGE, Entry, installed_version

LISTS = {"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"}  # eval(answer): a list of numbers or texts
FORMULAS = {  # sympy.parse_expr(answer)
    *("countdown", "puzzle24", "polynomial_multiplication", "simple_integration", "intermediate_integration"),
}
FUNCTIONS = {
    *("sin", "cos", "tan", "cot", "sec", "csc", "asin", "acos", "atan", "acot", "sinh", "cosh", "tanh", "asinh"),
    *("acosh", "atanh", "exp", "log", "ln", "sqrt", "cbrt", "Abs", "abs", "erf", "erfi", "Si", "Ci", "Ei", "li", "pi"),
    "Integral",
}
UNREADABLE = "?"  # neither a list nor a formula
WORD = re.compile(r"[A-Za-z]\w+")
NOT_A_FORMULA = re.compile(r"[^\x20-\x7e\s]|[\"'`_\[\]{}@\\:;=]|\.\s*[A-Za-z]")


def grade(reference: str, answer: str) -> float:
    """Return the score of an answer, from 0 to 1.

    Raises:
        ValueError: Another version of the package made the question, or the score is no number from 0 to 1.
    """
    entry = Entry.read(reference)
    if entry.version != installed_version():
        raise ValueError(
            f"{PACKAGE} {installed_version()} is installed, but {entry.version} made the questions: {INSTALL}, or make "
            "the data again"
        )
    scorer = _dataset(entry.task, json.dumps(entry.parameters))
    score = float(scorer.score_answer(answer if is_safe(entry.task, answer) else UNREADABLE, entry.content))
    if not 0 <= score <= 1:
        raise ValueError(f"the scorer of {entry.task} gave {score}")
    return score


def is_safe(task: str, answer: str) -> bool:
    """Return whether a task's scorer may see an answer: it evaluates none, or the answer calls nothing harmful."""
    if task in LISTS:
        return "(" not in answer  # nothing is called without it
    if task in FORMULAS:
        return not NOT_A_FORMULA.search(answer) and set(WORD.findall(answer)) <= FUNCTIONS
    return True


@lru_cache(maxsize=64)
def _dataset(task: str, parameters: str) -> Any:
    return create_dataset(task, **json.loads(parameters))
