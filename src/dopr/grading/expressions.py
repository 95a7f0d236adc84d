r"""Parsing LaTeX into sympy with math-verify's parser, and comparisons of two expressions.

Departures from math-verify, each with its reason:

- Letters keep their case, or R - r would be 0. Case does not count if no side has a letter in both cases.
- \gamma, E_1 and y' are variables, i is the imaginary unit, and \log is \ln beside an \ln.
- Equations and inequalities are compared by their sides. math-verify compares their solutions, and then all equations
  without a real solution are equal.
- Rational numbers are compared exactly, others within a relative tolerance. math-verify rounds to six decimals, and
  then all small numbers are 0.
- Identities that hold for positive variables count: \sqrt{1/n} is 1/\sqrt{n}.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from latex2sympy2_extended import NormalizationConfig, latex2sympy
from latex2sympy2_extended.latex2sympy2 import ConversionConfig, normalize_latex
from math_verify import verify
from math_verify.grader import should_treat_as_complex
from sympy import (
    Abs,
    Basic,
    EmptySet,
    Equality,
    Expr,
    Float,
    I,
    MatrixBase,
    MatrixExpr,
    Symbol,
    UnevaluatedExpr,
    nan,
    simplify,
    zoo,
)
from sympy.concrete.expr_with_limits import ExprWithLimits
from sympy.core.function import AppliedUndef, Derivative
from sympy.core.relational import Relational
from sympy.logic.boolalg import Boolean, BooleanAtom

LATEX = NormalizationConfig(malformed_operators=True, nits=True, boxed="none")
KEEP_CASE = ConversionConfig(lowercase_symbols=False)
UNCLEAR = re.compile(r"(?<![\d.^_])\d[\d.]*\s+\.?\d|\d\.\d+\.\d|(?<![a-zA-Z}_\d])\d+_")  # 5 6, 1.2.3, 101_2
PRIMES = re.compile(r"([a-zA-Z])('+)")
CONSTANTS = re.compile(r"(?<![A-Za-z\\])([EI])(?=_)")
LOGARITHM = re.compile(r"\\log(?![a-zA-Z_])")
# Percents, expressions that are slow to evaluate, and expressions that are no numbers.
NOT_PROBED = (UnevaluatedExpr, ExprWithLimits, Derivative, AppliedUndef, MatrixExpr)
INCOMPARABLE = (TypeError, ValueError, AttributeError, NotImplementedError, ArithmeticError)  # from sets, for example
APART = 1e-3  # absolute and relative difference that no rounding explains
TOO_LARGE = 1e300  # sums of larger Python floats may overflow
TOLERANCE = 1e-4  # relative; beyond it decimals differ, even if they round to the same six decimals
EXACT = 1e-9  # relative; within it decimals are equal, even if they round to different ones, such as 1.5e33
DIGITS = 20  # digits that values are computed to
TINY = 1e-15  # a computed value below this may be 0
FLIPPED = {">": "<", ">=": "<="}


@lru_cache(maxsize=8192)
def understood(text: str) -> list[Any]:
    """Return a list with the expression that a text says; empty if it cannot be parsed."""
    if UNCLEAR.search(text):
        return []
    text = PRIMES.sub(
        lambda m: f"{m[1]}_{{{'p' * len(m[2])}}}", text.replace(r"\gamma", "g_{gamma}").replace(r"\odot", "sun")
    )
    latex = normalize_latex(CONSTANTS.sub(r"\\mathcal{\1}", text), LATEX)
    try:
        real = not should_treat_as_complex(latex)
        found = latex2sympy(latex, is_real=real, normalization_config=None, conversion_config=KEEP_CASE)
    except MemoryError:
        raise
    except Exception:  # the parser raises all kinds
        return []
    return [algebraic(found)] if isinstance(found, Basic | MatrixBase) else []


def algebraic(expression: Any) -> Any:
    """Replace i with the imaginary unit, derivatives with variables, and make all variables real."""
    if isinstance(expression, Basic) and expression.has(Derivative):
        expression = expression.replace(lambda part: isinstance(part, Derivative), lambda part: Symbol(str(part)))
    names = {symbol: symbol.name for symbol in expression.free_symbols}
    return expression.xreplace({s: I if name == "i" else Symbol(name, real=True) for s, name in names.items()})


def same_expression(gold: str, found: str) -> bool:
    """Return whether two texts say equal expressions, sets, matrices, equations or inequalities."""
    if r"\ln" in gold + found:
        gold, found = (LOGARITHM.sub(r"\\ln ", side) for side in (gold, found))
    sides = [*understood(gold), *understood(found)]
    if len(sides) != 2 or any(isinstance(side, Basic) and side.has(nan, zoo) for side in sides):
        return False
    one, other = in_one_case(*sides)
    if isinstance(one, Boolean) and isinstance(other, Boolean):
        return same_condition(one, other)
    return not isinstance(one, BooleanAtom) and not isinstance(other, BooleanAtom) and equal_values(one, other)


def contradictory(texts: list[str]) -> bool:
    """Return whether two of the texts, which are said to be equal, are unequal rational numbers."""
    sides = [side for text in texts for side in understood(text) if isinstance(side, Expr) and side.is_number]
    numbers = [side.doit() for side in sides if not side.has(UnevaluatedExpr, Float)]
    return len({number for number in numbers if number.is_Rational}) > 1


def in_one_case(one: Any, other: Any) -> tuple[Any, Any]:
    """Make all letters small, unless a side has a letter in both cases."""
    if any(len({symbol.name.lower() for symbol in s.free_symbols}) < len(s.free_symbols) for s in (one, other)):
        return one, other
    small = {symbol: Symbol(symbol.name.lower(), real=True) for s in (one, other) for symbol in s.free_symbols}
    return one.xreplace(small), other.xreplace(small)


def equal_values(one: Any, other: Any) -> bool:
    """Return whether two expressions, sets or matrices are equal."""
    if differ(one, other):
        return False
    verdict: bool = verify([one], [other], timeout_seconds=None, raise_on_error=True, allow_set_relation_comp=True)
    equal_as_numbers = equal_numbers(one, other, verdict)
    return verdict or equal_for_positive(one, other) if equal_as_numbers is None else equal_as_numbers


def same_condition(one: Any, other: Any) -> bool:
    """Compare equations and inequalities by their sides, and inequalities of one variable by their solutions too."""
    relations, others = (list(condition.atoms(Relational)) for condition in (one, other))
    if not relations or not others:  # true or false alone
        return False
    if len(relations) == len(others) and all(any(same_relation(r, o) for o in others) for r in relations):
        return True
    solutions = None if any(isinstance(r, Equality) for r in relations + others) else real_set(one)
    return solutions not in (None, EmptySet) and solutions == real_set(other)


def same_relation(one: Relational, other: Relational) -> bool:
    """Return whether two relations have equal sides, or sides whose differences are proportional."""
    (sign, left, right), (other_sign, other_left, other_right) = smaller_first(one), smaller_first(other)
    if sign != other_sign:
        return False
    if equal_values(left, other_left) and equal_values(right, other_right):
        return True
    try:
        difference, other_difference = left - right, other_left - other_right
        if not difference.free_symbols or difference.free_symbols != other_difference.free_symbols:
            return False
        ratio = simplify(difference / other_difference)
        return bool(ratio.is_number and ratio.is_nonzero and (sign in ("==", "!=") or ratio.is_positive))
    except INCOMPARABLE:
        return False


def smaller_first(relation: Relational) -> tuple[str, Any, Any]:
    """Return the sign and the sides of a relation, with > written as <."""
    sign = relation.rel_op
    return (FLIPPED[sign], relation.rhs, relation.lhs) if sign in FLIPPED else (sign, relation.lhs, relation.rhs)


def real_set(condition: Any) -> Any:
    """Return the real solutions of a condition on one variable; None if sympy cannot find them."""
    try:
        return condition.as_set() if len(condition.free_symbols) == 1 else None
    except INCOMPARABLE:
        return None


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


def equal_numbers(one: Any, other: Any, rounded: bool) -> bool | None:
    """Return whether two numbers are equal; None if either is no finite number, or in percent.

    `rounded` is whether math-verify finds them equal after rounding.
    """
    if not all(isinstance(side, Expr) and side.is_number and not side.has(UnevaluatedExpr) for side in (one, other)):
        return None
    if one.is_Rational and other.is_Rational:
        return bool(one == other)
    try:
        first, second = one.evalf(DIGITS), other.evalf(DIGITS)
    except ZeroDivisionError:  # 5 / 0.0 equals nothing
        return False
    if not (first.is_finite and second.is_finite):
        return None
    largest, decimal = max(abs(first), abs(second)), one.has(Float) or other.has(Float)
    if largest < TINY and not decimal:
        return bool(one.equals(other))
    return bool(abs(first - second) <= (TOLERANCE if decimal and rounded else EXACT) * largest) and (decimal or rounded)


def equal_for_positive(one: Any, other: Any) -> bool:
    """Return whether two expressions are equal for all positive variables; False if a side has absolute values."""
    if not all(isinstance(side, Expr) and side.free_symbols and not side.has(Abs) for side in (one, other)):
        return False
    positive = {s: Symbol(s.name, positive=True) for side in (one, other) for s in side.free_symbols}
    return difference_is_zero(one.xreplace(positive), other.xreplace(positive))


def difference_is_zero(one: Any, other: Any) -> bool:
    """Return whether sympy simplifies the difference of two expressions to 0."""
    try:
        return bool(simplify(one - other) == 0)
    except INCOMPARABLE:
        return False
