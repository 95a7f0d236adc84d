"""Equality of two numbers: exact for rational numbers, within a relative tolerance for others.

We depart from math-verify, which rounds both to six decimals: then all small numbers are 0, and 2^-99 equals 2^-98.
"""

from __future__ import annotations

import math
from typing import Any

from sympy import Expr, Float

TOLERANCE = 1e-4  # relative; beyond it decimals differ, even if they round to the same six decimals
EXACT = 1e-9  # relative; within it decimals are equal, even if they round to different ones, such as 1.5e33
DIGITS = 20  # digits that values are computed to
TINY = 1e-15  # a computed value below this may be 0


def equal_numbers(one: Any, other: Any, rounded: bool) -> bool | None:
    """Return whether two numbers are equal; None if either is no number.

    `rounded` is whether math-verify finds them equal after rounding.
    """
    if not all(isinstance(side, Expr) and side.is_number for side in (one, other)):
        return None
    if one.is_Rational and other.is_Rational:
        return bool(one == other)
    relative = relative_difference(one, other)
    if relative is None:
        return None
    if one.has(Float) or other.has(Float):
        return relative <= (TOLERANCE if rounded else EXACT)
    return rounded and relative <= EXACT


def relative_difference(one: Any, other: Any) -> float | None:
    """Return the relative difference of two numbers; None if one is not finite."""
    try:
        first, second = one.evalf(DIGITS), other.evalf(DIGITS)
    except ZeroDivisionError:  # 5 / 0.0 equals nothing
        return math.inf
    largest = max(abs(first), abs(second)) if first.is_finite and second.is_finite else None
    if largest is None:
        return None
    if largest < TINY and not (one.has(Float) or other.has(Float)):
        return 0.0 if one.equals(other) else math.inf
    return float(abs(first - second) / largest) if largest > 0 else 0.0
