"""When two numbers are equal: exact ones exactly, others within a relative tolerance.

math-verify rounds both to six places, which says of small numbers that all are 0, and of 2^-99 that it is 2^-98.
"""

from __future__ import annotations

import math
from typing import Any

from sympy import Expr, Float

TOLERANCE = 1e-4  # relative, beyond which decimals differ though they round to the same six places; ours
EXACT = 1e-9  # relative, within which decimals are equal though they round to different ones, such as 1.5e33
DIGITS = 20  # that values are computed to
TINY = 1e-15  # below this a computed value may be 0


def equal_numbers(one: Any, other: Any, rounded: bool) -> bool | None:
    """Whether two numbers are equal, where `rounded` says if they are when rounded; None if either is no number."""
    if not all(isinstance(side, Expr) and side.is_number for side in (one, other)):
        return None
    if one.is_Rational and other.is_Rational:
        return bool(one == other)
    apart = distance(one, other)
    if apart is None:
        return None
    if one.has(Float) or other.has(Float):
        return apart <= (TOLERANCE if rounded else EXACT)
    return rounded and apart <= EXACT


def distance(one: Any, other: Any) -> float | None:
    """The relative difference of two numbers; None if they have none."""
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
