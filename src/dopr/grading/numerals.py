r"""Numerals with a base, such as 204_5, and times of day, such as 4:40 a.m."""

from __future__ import annotations

import re

from dopr.grading.tidy import squeezed

NUMERAL = re.compile(r"(?P<digits>[0-9A-Fa-f]+)_(?:\{(?:\\text\s*\{)?\s*(?P<long>\w+)\s*\}{1,2}|(?P<short>\d+))")
BASES = {"two": "2", "three": "3", "four": "4", "five": "5", "six": "6", "seven": "7", "eight": "8", "nine": "9"}
CLOCK = re.compile(r"(\d{1,2}:\d\d)(?:(?:\\text\{)?([ap])\.?m\.?\}?)?", re.IGNORECASE)


def is_numeral(text: str) -> bool:
    """Return whether a text is a numeral with its base."""
    return NUMERAL.fullmatch(squeezed(text)) is not None


def same_numeral(gold: str, found: str) -> bool:
    """Return whether two numerals have equal digits, and equal bases where both have one."""
    (digits, base), (other, other_base) = numeral(gold), numeral(found)
    return digits.lstrip("0").lower() == other.lstrip("0").lower() and (
        not base or not other_base or base == other_base
    )


def numeral(text: str) -> tuple[str, str]:
    """Return the digits and the base of a numeral; the base is "" without one."""
    match = NUMERAL.fullmatch(squeezed(text))
    if not match:
        return squeezed(text), ""
    base = match["long"] or match["short"]
    return match["digits"], BASES.get(base, base)


def clock(text: str) -> re.Match[str] | None:
    """Match a time of day: hours and minutes, then a or p if given."""
    return CLOCK.fullmatch(squeezed(text))


def same_time(time: re.Match[str], other: re.Match[str]) -> bool:
    """Return whether two times of day are equal. At least one of them must have a.m. or p.m."""
    return time[1] == other[1] and len({half.lower() for half in (time[2], other[2]) if half}) == 1
