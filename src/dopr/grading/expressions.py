"""LaTeX to sympy by math-verify's parser, and the questions profiles ask of two expressions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import parse
from math_verify.parser import LatexExtractionConfig
from sympy import Basic, Expr, Float, MatrixBase, MatrixExpr, Symbol, UnevaluatedExpr, simplify
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.function import AppliedUndef, Derivative

from dopr.grading.guards import check_size
from dopr.grading.letters import variables

LATEX = LatexExtractionConfig(  # the box as a whole or nothing: no fraction out of what cannot be parsed
    try_extract_without_anchor=False,
    normalization_config=NormalizationConfig(malformed_operators=True, nits=True, boxed="last"),
)
# Percents, what is slow to evaluate, and what is no number.
NOT_PROBED = (UnevaluatedExpr, ExprWithLimits, Derivative, AppliedUndef, MatrixExpr)
INCOMPARABLE = (TypeError, ValueError, AttributeError, NotImplementedError, ArithmeticError)  # of sets and the like
APART = 1e-3  # of two values, absolute and relative: beyond any rounding
TOO_LARGE = 1e300  # beyond which sums of Python's floats may overflow
UNCLEAR = re.compile(r"(?<![\d.^_])\d[\d.]*\s+\.?\d|\d\.\d+\.\d|(?<![a-zA-Z}_\d])\d+_")  # 5 6, 1.2.3, 101_2


@lru_cache(maxsize=8192)
def understood(text: str) -> list[Any]:
    """The expression that math-verify finds in a text, in a list; empty if there is none."""
    if UNCLEAR.search(text) or not balanced(text):
        return []
    found = parse(f"\\boxed{{{variables(text)}}}", [LATEX], parsing_timeout=None)
    return [expression for expression in found if isinstance(expression, Basic | MatrixBase)]


def balanced(text: str) -> bool:
    """Whether every brace is closed after it was opened: the parser drops what follows one that was not."""
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def differ(one: Any, other: Any) -> bool:
    """Whether two expressions have clearly different values at one point, which spares simplifying their difference.

    Sound, not complete: False says nothing. The point is positive and real, where identities hold that need it.
    """
    names = sorted({symbol.name for side in (one, other) for symbol in getattr(side, "free_symbols", ())})
    first = value(one, names)
    second = None if first is None else value(other, names)
    if first is None or second is None:
        return False
    return abs(first - second) > APART * max(1.0, abs(first), abs(second))


def value(expression: Any, names: list[str]) -> complex | None:
    """Its value where the symbols of these names are 0.7, 1.01, 1.32, ...; None if it has none there, or is a name."""
    if not isinstance(expression, Expr) or isinstance(expression, Symbol) or expression.has(*NOT_PROBED):
        return None
    point = {symbol: Float(0.7 + 0.31 * names.index(symbol.name)) for symbol in expression.free_symbols}
    try:
        found = expression.xreplace(point).evalf(15)
        return complex(found) if found.is_finite and abs(found) < TOO_LARGE else None
    except INCOMPARABLE:
        return None


def difference_is_zero(one: str, other: str) -> bool:
    """Whether sympy simplifies the difference of two expressions to 0; False if either cannot be parsed.

    Raises:
        TooLargeError: an expression is too large to be evaluated.
    """
    sides = [*understood(one), *understood(other)]
    if len(sides) != 2:
        return False
    for side in sides:
        check_size(side)
    try:
        return bool(simplify(sides[0] - sides[1]) == 0)
    except INCOMPARABLE:
        return False
