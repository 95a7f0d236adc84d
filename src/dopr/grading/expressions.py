"""Parsing LaTeX into sympy with math-verify's parser, and comparisons of two expressions."""

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

LATEX = LatexExtractionConfig(  # parse the whole box or nothing, not a fraction inside text that cannot be parsed
    try_extract_without_anchor=False,
    normalization_config=NormalizationConfig(malformed_operators=True, nits=True, boxed="last"),
)
# Percents, expressions that are slow to evaluate, and expressions that are no numbers.
NOT_PROBED = (UnevaluatedExpr, ExprWithLimits, Derivative, AppliedUndef, MatrixExpr)
INCOMPARABLE = (TypeError, ValueError, AttributeError, NotImplementedError, ArithmeticError)  # from sets, for example
APART = 1e-3  # absolute and relative difference that no rounding explains
TOO_LARGE = 1e300  # sums of larger Python floats may overflow
UNCLEAR = re.compile(r"(?<![\d.^_])\d[\d.]*\s+\.?\d|\d\.\d+\.\d|(?<![a-zA-Z}_\d])\d+_")  # 5 6, 1.2.3, 101_2


@lru_cache(maxsize=8192)
def understood(text: str) -> list[Any]:
    """Return a list with the expression that math-verify parses from a text; empty if it cannot."""
    if UNCLEAR.search(text) or not balanced(text):
        return []
    found = parse(f"\\boxed{{{variables(text)}}}", [LATEX], parsing_timeout=None)
    return [expression for expression in found if isinstance(expression, Basic | MatrixBase)]


def balanced(text: str) -> bool:
    """Return whether all braces match. The parser drops the text after one that does not."""
    depth = 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if depth < 0:
            return False
    return depth == 0


def differ(one: Any, other: Any) -> bool:
    """Return whether two expressions have clearly different values at one point.

    True is certain and saves simplifying their difference. False decides nothing. The point is positive and real, since
    some identities hold only there.
    """
    names = sorted({symbol.name for side in (one, other) for symbol in getattr(side, "free_symbols", ())})
    first = value(one, names)
    second = None if first is None else value(other, names)
    if first is None or second is None:
        return False
    return abs(first - second) > APART * max(1.0, abs(first), abs(second))


def value(expression: Any, names: list[str]) -> complex | None:
    """Evaluate an expression where the symbols with these names are 0.7, 1.01, 1.32, ...

    The result is None if it has no value there, or is a symbol itself.
    """
    if not isinstance(expression, Expr) or isinstance(expression, Symbol) or expression.has(*NOT_PROBED):
        return None
    point = {symbol: Float(0.7 + 0.31 * names.index(symbol.name)) for symbol in expression.free_symbols}
    try:
        found = expression.xreplace(point).evalf(15)
        return complex(found) if found.is_finite and abs(found) < TOO_LARGE else None
    except INCOMPARABLE:
        return None


def difference_is_zero(one: str, other: str) -> bool:
    """Return whether sympy simplifies the difference of two expressions to 0; False if either cannot be parsed.

    Raises:
        TooLargeError: An expression is too large to evaluate.
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
