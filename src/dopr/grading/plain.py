"""The profile math_verify: math-verify as its own users run it, the number that others compare with.

`parse` and `verify` have their default settings. The reference comes first, as a formula. The answer is the whole
completion, in which math-verify looks for an answer itself, unless verify.extraction says otherwise.

Departure: math-verify's own limits of time are off. The limits of the workers (dopr.grading.pool) hold instead.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from math_verify import parse, verify


def grade(reference: str, text: str) -> str:
    """Return the verdict: correct, wrong or unparsed.

    Raises:
        ValueError: The reference is empty, or holds nothing that math-verify can read.
    """
    gold = parsed(reference if "$" in reference else f"${reference}$")
    if not gold:
        raise ValueError(f"reference answer {reference!r} {'cannot be parsed' if reference.strip() else 'is empty'}")
    found = parsed(text)
    if not found:
        return "unparsed"
    return "correct" if verify(gold, found, timeout_seconds=None) else "wrong"


@lru_cache(maxsize=1024)
def parsed(text: str) -> list[Any]:
    """Return what math-verify finds in a text."""
    found: list[Any] = parse(text, parsing_timeout=None)
    return found
