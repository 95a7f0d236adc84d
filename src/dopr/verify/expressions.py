"""LaTeX to sympy by math-verify's parser, and the questions profiles ask of two expressions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import parse
from math_verify.parser import LatexExtractionConfig
from sympy import Basic, Expr, Float, MatrixBase, Symbol, UnevaluatedExpr, simplify
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.function import AppliedUndef, Derivative

from dopr.verify.guards import check_size

LATEX = LatexExtractionConfig(  # the box as a whole or nothing: no fraction out of what cannot be parsed
    try_extract_without_anchor=False,
    normalization_config=NormalizationConfig(malformed_operators=True, nits=True, boxed="last"),
)
NOT_PROBED = (UnevaluatedExpr, ExprWithLimits, Derivative, AppliedUndef)  # percents, and what is slow to evaluate
INCOMPARABLE = (TypeError, ValueError, AttributeError, NotImplementedError)  # sympy's, of sets, relations and the like
APART = 1e-3  # of two values, absolute and relative: beyond any rounding
PRIMED = re.compile(r"([a-zA-Z])('+)")
CONSTANT = re.compile(r"(?<![A-Za-z\\])([EI])(?=_)")  # E_1 is a variable


@lru_cache(maxsize=8192)
def understood(text: str) -> list[Any]:
    """The expression that math-verify finds in a text, in a list; empty if there is none."""
    text = CONSTANT.sub(r"\\mathcal{\1}", text).replace(r"\odot", "sun")
    text = PRIMED.sub(lambda m: f"{m[1]}_{{{'p' * len(m[2])}}}", text)  # which the parser would drop
    found = parse(f"\\boxed{{{text}}}", [LATEX], parsing_timeout=None)
    return [expression for expression in found if isinstance(expression, Basic | MatrixBase)]


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
        return complex(found) if found.is_finite else None
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
