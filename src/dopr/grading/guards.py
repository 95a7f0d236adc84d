r"""Checks that stop a comparison before it begins, by the text of an answer or the size of its value.

A million digits, a hundred nested braces, a program, or TeX that reads files is not an answer: `unparsed`. A tower of
powers is mathematics, but its evaluation would exceed any limit: `timeout`. An upper bound on its number of digits
shows that before the evaluation. A comparison that passes these checks and still hangs is killed (dopr.grading.pool).
"""

from __future__ import annotations

import math
import re
from typing import Any

MAX_ANSWER = 2000  # characters; people do not write longer ones
MAX_DEPTH = 40  # of nested brackets
MAX_DIGITS = 20_000  # of a number that is evaluated
MAX_TERMS = 10_000  # of a sum or product that is evaluated
MAX_FACTORIAL = 3000
NO_TEXT = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff\ufffe\uffff]")
TEX_PROGRAM = re.compile(
    r"\\(?:input|include|usepackage|documentclass|write|openin|openout|immediate|read|special|catcode|csname|def|edef"
    r"|gdef|let|newcommand|renewcommand|loop|repeat|expandafter|begin\s*\{document\})(?![a-zA-Z])"
)
PROGRAM = re.compile(
    r"__\w+__|(?<![\\\w])(?:(?:exec|eval|print|open|getattr|socket|subprocess|os|sys)[.(]\s*['\"\w]"
    r"|import\s+\w|lambda(?:\s+\w+)?\s*:|while\s+\w+\s*:)"
)


class TooLargeError(BaseException):
    """An expression that is too large to evaluate. It is no Exception, so that no library catches it."""


def is_no_answer(answer: str) -> bool:
    """Return whether a text is too long, too deeply nested, a program, or has control characters."""
    if len(answer) > MAX_ANSWER:
        return True
    depth = deepest = 0
    for character in answer:
        depth += (character in "{([") - (character in "})]")
        deepest = max(deepest, depth)
    return deepest > MAX_DEPTH or any(bad.search(answer) for bad in (NO_TEXT, TEX_PROGRAM, PROGRAM))


def check_size(expression: Any) -> None:
    """Check that no part of a sympy expression has too many digits or too many terms.

    Raises:
        TooLargeError: A part has.
    """
    for part in getattr(expression, "flat", lambda: [expression])():  # a matrix is no expression
        magnitude(part)


def magnitude(expression: Any) -> float:
    """Return an upper bound on log10 of the absolute value of a numerical expression. A symbol counts as 10.

    Raises:
        TooLargeError: A part of it is beyond the limits.
    """
    name = type(expression).__name__
    inner = [magnitude(argument) for argument in getattr(expression, "args", ())]
    if getattr(expression, "is_Integer", False):
        size = abs(int(expression)).bit_length() * math.log10(2)
    elif getattr(expression, "is_Rational", False):
        size = max(abs(int(expression.p)), abs(int(expression.q))).bit_length() * math.log10(2)
    elif getattr(expression, "is_Float", False):
        size = abs(float(expression._mpf_[2] + expression._mpf_[3])) * math.log10(2)
    elif name in ("Pow", "exp"):
        base, exponent = inner if name == "Pow" else (0.5, inner[0])
        size = max(base, 0.31) * 10 ** min(exponent, 20) if exponent > 0 else base
        if not numerical(expression.args[-1]) or expression.args[0].is_Symbol:  # nothing to evaluate
            size = base
    elif name in ("factorial", "factorial2", "gamma", "binomial", "subfactorial"):
        size = 4 * 10 ** min(inner[0], 20) if numerical(expression) else 1.0
        if size > 4 * MAX_FACTORIAL:
            raise TooLargeError
    elif name in ("Sum", "Product"):
        check_terms(expression)
        size = sum(inner) + 1
    else:
        size = sum(inner) + 1 if inner else 1.0
    if size > MAX_DIGITS:
        raise TooLargeError
    return size


def numerical(expression: Any) -> bool:
    """Return whether an expression has no symbols."""
    return not getattr(expression, "free_symbols", True)


def check_terms(expression: Any) -> None:
    """Check that a sum or product does not have too many terms.

    Raises:
        TooLargeError: It has.
    """
    for _, *bounds in (limit.args for limit in expression.args[1:]):
        for bound in bounds:
            if numerical(bound) and bound.is_finite and 10 ** min(magnitude(bound), 20) > MAX_TERMS:
                raise TooLargeError
