r"""The profile dopr: comparison of an answer with the reference by math-verify, with our own rules around it.

Both are normalised to one spelling (dopr.grading.tidy) and taken apart into lists, tuples, intervals, unions and
matrices (dopr.grading.structure). Single expressions are compared by dopr.grading.expressions. The rules here:

- equal spelling is equal
- words are compared as words, in any case; a choice is compared by its letter
- a collection has no order, a tuple has one; the brackets of a pair are those of an interval and must be equal
- units after a number, and a name and `=` before an answer, do not count; 50 % is 50 and 0.5
- a numeral with a base needs the same base or none; 4:40 a.m. is 4:40, but not 4:40 p.m.
- degrees equal their part of pi; a choice's letter before its value does not count
"""

from __future__ import annotations

import re
from typing import Any

from sympy import Union
from sympy.logic.boolalg import Boolean

from dopr.grading.expressions import contradictory, equal_values, same_expression, understood
from dopr.grading.structure import Shape, shape, split
from dopr.grading.tidy import in_radians, squeezed, unmarked, words
from dopr.grading.units import is_name, without_name, without_units

CHOICE = re.compile(r"\\?(?:text\s*\{)?\s*\(?([A-J])\s*[).:}]")
LABEL = re.compile(r"(?:\\text\s*\{\s*\(?[A-J]\)?[.:]?\s*\}|\([A-J]\))\s*(?=\S)")  # before a choice's value: (C) 5
RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|in|lt|gt)(?![a-zA-Z])")
APPROXIMATE = re.compile(r"\\approx|\\simeq|\\sim(?![a-z])")
NUMERAL = re.compile(r"([0-9A-Fa-f]+)_\{?(\d+)\}?")
CLOCK = re.compile(r"(\d{1,2}(?::\d\d)?)(?:\\text\{)?(?:([ap])\.?m\.?)?\}?", re.IGNORECASE)


class UnreadableError(ValueError):
    """A reference that is neither words nor mathematics."""


def grade(reference: str, answer: str) -> str:
    """Return the verdict: correct, wrong or unparsed.

    Raises:
        UnreadableError: The reference cannot be parsed, and the answer is not the same text.
    """
    gold, found = map(shape, in_one_unit(reference, answer))
    if not gold.text:
        raise UnreadableError(f"reference answer {reference!r} is empty")
    if not answer.strip():
        return "unparsed"
    if squeezed(gold.text) == squeezed(found.text):
        return "correct"
    if not readable(gold):
        raise UnreadableError(f"reference answer {reference!r} cannot be parsed")
    label = LABEL.match(found.text)
    is_equal = equal(gold, found) or (label is not None and equal(gold, shape(found.text[label.end() :])))
    return "correct" if is_equal else "wrong"


def in_one_unit(reference: str, answer: str) -> tuple[str, str]:
    r"""Convert degrees to radians if only one side has \pi. Otherwise `tidy` drops the degree signs later."""
    if (r"\pi" in reference) == (r"\pi" in answer):
        return reference, answer
    return in_radians(reference), in_radians(answer)


def readable(answer: Shape) -> bool:
    """Return whether every part is words or mathematics."""
    if answer.kind != "one":
        return all(map(readable, answer.parts)) and bool(answer.parts)
    text = answer.text
    if words(text) is not None or CLOCK.fullmatch(squeezed(text)) or NUMERAL.fullmatch(squeezed(text)):
        return True
    return bool(understood(text) or understood(without_units(without_name(text))))


def equal(gold: Shape, found: Shape) -> bool:
    """Return whether two answers are equal."""
    if squeezed(gold.text) == squeezed(found.text):
        return True
    kinds = (gold.kind, found.kind)
    if kinds == ("one", "one"):
        return same(gold.text, found.text)
    if kinds in (("collection", "collection"), ("union", "union")):
        return in_any_order(gold.parts, found.parts)
    if kinds == ("tuple", "tuple"):
        return (len(gold.parts) != 2 or gold.brackets == found.brackets) and in_order(gold.parts, found.parts)
    if kinds in (("collection", "tuple"), ("tuple", "collection")):
        interval = len(gold.parts) == 2 and "()" not in (gold.brackets, found.brackets)
        return not interval and in_order(gold.parts, found.parts)
    if kinds == ("matrix", "matrix"):
        rows = list(zip(gold.parts, found.parts, strict=False))
        return len(gold.parts) == len(found.parts) and all(in_order(one.parts, other.parts) for one, other in rows)
    if "matrix" in kinds and "tuple" in kinds:
        return in_order(flat(gold), flat(found))
    if "collection" in kinds and "one" in kinds and len(gold.parts or found.parts) == 1:
        return equal(*(side.parts[0] if side.parts else side for side in (gold, found)))
    if set(kinds) == {"union", "collection"}:
        sets = (as_real_set(gold), as_real_set(found))
        return None not in sets and equal_values(*sets)
    return same_expression(gold.text, found.text)


def as_real_set(answer: Shape) -> Any:
    """Return the set of a union of intervals, or of conditions joined by `or`; None for anything else."""
    if answer.kind == "union":
        return next(iter(understood(answer.text)), None)
    parts = [expression for part in answer.parts for expression in understood(part.text)]
    conditions = [part for part in parts if isinstance(part, Boolean) and len(part.free_symbols) == 1]
    if "and" in answer.text or len(conditions) != len(answer.parts):
        return None
    return Union(*(condition.as_set() for condition in conditions))


def in_order(gold: tuple[Shape, ...], found: tuple[Shape, ...]) -> bool:
    """Return whether the parts are equal in order."""
    return len(gold) == len(found) and all(map(equal, gold, found))


def flat(answer: Shape) -> tuple[Shape, ...]:
    """Return the components of a tuple, or of a matrix with one row or column."""
    if answer.kind == "tuple":
        return answer.parts
    if len(answer.parts) == 1:
        return answer.parts[0].parts
    return tuple(row.parts[0] for row in answer.parts) if all(len(row.parts) == 1 for row in answer.parts) else ()


def in_any_order(gold: tuple[Shape, ...], found: tuple[Shape, ...]) -> bool:
    """Return whether the parts are equal in some order."""
    left = list(found)
    for part in gold:
        index = next((index for index, other in enumerate(left) if equal(part, other)), None)
        if index is None or len(gold) != len(found):
            return False
        del left[index]
    return not left


def same(gold: str, found: str) -> bool:
    """Return whether two single expressions are equal, names and words included."""
    time, other = (CLOCK.fullmatch(squeezed(side)) for side in (gold, found))
    if time and other and (time[2] or other[2]):
        halves = {half.lower() for half in (time[2], other[2]) if half}
        return time[1].removesuffix(":00") == other[1].removesuffix(":00") and len(halves) == 1
    if squeezed(unmarked(gold)) == squeezed(unmarked(found)):
        return True
    gold_words = words(gold)
    if gold_words is not None:
        choice = CHOICE.match(found) if len(gold_words) == 1 else None
        if gold_words == words(found) or (choice and choice[1].lower() == gold_words):
            return True
    if "=" in found and contradictory(split(found, ("=",))):  # 1 = 2 does not say 2
        return False
    named, answered = "=" in gold, any(sign in found for sign in ("=", r"\approx", r"\sim", r"\in "))
    if named and "=" in found:
        return same_equation(gold, found)
    if answered and not RELATION.search(gold):
        parts = [part.strip() for part in APPROXIMATE.split(ends(without_name(found))[1])]
        return not named and any((alike if part == found else same)(gold, part) for part in parts if part)
    if named and not RELATION.search(found):
        name, value = ends(gold)
        return is_name(name) and same(value, found)
    return alike(gold, found)


def ends(text: str) -> tuple[str, str]:
    """Return the first and the last side of a chain of equations; ("", the text) without `=`."""
    sides = split(text, ("=",))
    return (sides[0] if len(sides) > 1 else ""), sides[-1]


def same_equation(gold: str, found: str) -> bool:
    """Compare two equations: equal values of the same name, or proportional differences of their sides."""
    (name, value), (other, answer) = ends(gold), ends(found)
    if squeezed(name).lower() == squeezed(other).lower() and alike(value, answer):
        return True
    return same_expression(f"{name}={value}", f"{other}={answer}")


def alike(gold: str, found: str) -> bool:
    """Compare two expressions without names: units, bases, then math-verify, with percent signs and without."""
    gold, found = without_units(gold), without_units(found)
    if squeezed(gold) == squeezed(found):
        return True
    numeral, other = (NUMERAL.fullmatch(squeezed(side)) for side in (gold, found))
    if numeral or other:
        digits = [match[1] if match else squeezed(side) for match, side in ((numeral, gold), (other, found))]
        return digits[0] == digits[1] and not (numeral and other and numeral[2] != other[2])
    if same_expression(gold, found):
        return True
    return "%" in gold + found and same_expression(*(re.sub(r"\\?%", "", side) for side in (gold, found)))
