r"""Checks of an answer's text before any comparison.

A million digits, a hundred nested braces, a program, a tower of powers, or TeX that reads files is not an answer. A
comparison that passes these checks and still hangs is killed (dopr.grading.pool).
"""

from __future__ import annotations

import re

MAX_ANSWER = 2000  # characters; people do not write longer ones
MAX_DEPTH = 40  # of nested brackets
NO_ANSWER = (
    re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]"),  # no text
    re.compile(
        r"\\(?:input|include|usepackage|documentclass|write|openin|openout|immediate|read|special|catcode|csname|def"
        r"|edef|gdef|let|newcommand|renewcommand|loop|repeat|expandafter|begin\s*\{document\})(?![a-zA-Z])"
    ),
    re.compile(
        r"__\w+__|(?<![\\\w])(?:(?:exec|eval|print|open|getattr|socket|subprocess|os|sys)[.(]\s*['\"\w]"
        r"|import\s+\w|lambda(?:\s+\w+)?\s*:|while\s+\w+\s*:)"
    ),
    re.compile(r"\d\s*(?:\^[\s{(]*\d+\s*){3}"),  # 9^{9^{9^9}}
)


def is_no_answer(answer: str) -> bool:
    """Return whether a text is too long, too deeply nested, a program, or has control characters."""
    if len(answer) > MAX_ANSWER:
        return True
    depth = deepest = 0
    for character in answer:
        depth += (character in "{([") - (character in "})]")
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH or any(pattern.search(answer) for pattern in NO_ANSWER)
