r"""The profile math_verify: comparison of an answer with the reference by math-verify, with our own rules around it.

Both are normalised to one spelling (dopr.grading.tidy) and taken apart into lists, tuples, intervals, unions and
matrices (dopr.grading.structure). math-verify compares single expressions. Our rules are these, and docs/grading.md has
them as a table:

- equal spelling is equal
- words are compared as words, in any case; a choice is compared by its letter
- a collection has no order, a tuple has one; the brackets of a pair are those of an interval and must be equal
- units after a number, and a name and `=` before an answer, do not count; 50 % is 50 and 0.5
- a numeral with a base needs the same base or none; 4:40 a.m. is 4:40, but not 4:40 p.m.
- numbers are compared by dopr.grading.numbers, and letters are read by dopr.grading.letters
- degrees equal their part of pi; a choice's letter before its value does not count
"""

from __future__ import annotations

import re
from typing import Any

from math_verify import verify
from sympy import Basic, Union, nan, zoo
from sympy.logic.boolalg import Boolean

from dopr.grading.expressions import differ, understood
from dopr.grading.guards import check_size
from dopr.grading.letters import algebraic, one_notation
from dopr.grading.numbers import equal_numbers
from dopr.grading.numerals import clock, is_numeral, same_numeral, same_time
from dopr.grading.structure import Shape, shape, split
from dopr.grading.tidy import in_radians, squeezed, unmarked, words
from dopr.grading.units import is_name, without_name, without_percent, without_units

INTEGER = re.compile(r"[-+]?\d+")
CHOICE = re.compile(r"\\?(?:text\s*\{)?\s*\(?([A-J])\s*[).:}]")
LABEL = re.compile(
    r"(?:\\text\s*\{\s*\(?[A-J]\)?[.:]?\s*\}|\([A-J]\))\s*(?=\S)"
)  # of a choice, before its value: (C) 5
RELATION = re.compile(r"[<>]|\\(?:le|ge|ne|in|lt|gt)(?![a-zA-Z])")
APPROXIMATE = re.compile(r"\\approx|\\simeq|\\sim(?![a-z])")


class UnreadableError(ValueError):
    """A reference that is neither words nor mathematics."""


def grade(reference: str, answer: str) -> str:
    """Return the verdict: correct, wrong or unparsed.

    Raises:
        UnreadableError: The reference cannot be parsed, and the answer is not the same text.
        TooLargeError: An expression is too large to evaluate.
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
    if words(text) is not None or clock(text) or is_numeral(text):
        return True
    return bool(understood(text) or understood(bare(text)))


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
        return in_order(gold.parts, found.parts, ordered_rows=True)
    if "matrix" in kinds and "tuple" in kinds:
        return in_order(flat(gold), flat(found))
    if "matrix" in kinds and "one" in kinds:
        return compared(gold.text, found.text)
    if "collection" in kinds and "one" in kinds and len(gold.parts or found.parts) == 1:
        return equal(*(side.parts[0] if side.parts else side for side in (gold, found)))
    if set(kinds) == {"union", "collection"}:
        real_set = as_real_set(gold)
        return real_set is not None and real_set == as_real_set(found)
    if any(RELATION.search(side.text) for side in (gold, found)):
        return compared(gold.text, found.text)
    return "union" in kinds and compared(gold.text, found.text)


def as_real_set(answer: Shape) -> Any:
    """Return the set of a union of intervals, or of inequalities joined by `or`; None for anything else."""
    if answer.kind == "union":
        return next(iter(understood(answer.text)), None)
    parts = [expression for part in answer.parts for expression in understood(part.text)[:1]]
    conditions = [part for part in parts if isinstance(part, Boolean) and len(part.free_symbols) == 1]
    if "and" in answer.text or len(conditions) != len(answer.parts):
        return None
    return Union(*(condition.as_set() for condition in conditions))


def in_order(gold: tuple[Shape, ...], found: tuple[Shape, ...], ordered_rows: bool = False) -> bool:
    """Return whether the parts are equal in order. Rows of a matrix are tuples of any length."""
    if len(gold) != len(found):
        return False
    if ordered_rows:
        return all(in_order(a.parts, b.parts) for a, b in zip(gold, found, strict=True))
    return all(equal(a, b) for a, b in zip(gold, found, strict=True))


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


def bare(text: str) -> str:
    """Remove the name and the units of a single expression."""
    return without_units(without_name(text))


def same(gold: str, found: str) -> bool:
    """Return whether two single expressions are equal, names and words included."""
    time, other = clock(gold), clock(found)
    if time and other and (time[2] or other[2]):
        return same_time(time, other)
    if squeezed(unmarked(gold)) == squeezed(unmarked(found)):
        return True
    gold_words = words(gold)
    if gold_words is not None:
        choice = CHOICE.match(found) if len(gold_words) == 1 else None
        if gold_words == words(found) or (choice and choice[1].lower() == gold_words):
            return True
        if r"\text" in gold:
            return False
    if not RELATION.search(gold) and any(sign in found for sign in ("=", r"\approx", r"\sim", r"\in ")):
        return equal_to_named(gold, found)
    if "=" in gold and not RELATION.search(found) and "=" not in found:
        name, value = halves(gold)
        return same(value, found) if is_name(name) else compared(gold, found)
    return alike(gold, found)


def halves(text: str) -> tuple[str, str]:
    """Split a text at the last `=` outside all brackets; ("", the text) without one."""
    *names, value = split(text, ("=",))
    return "=".join(names), value


def equal_to_named(gold: str, found: str) -> bool:
    """Compare with an answer that has `=` or a similar sign. The value of `x = 2/4 = 0.5` is its last part."""
    name, value = halves(gold)
    if name:
        other, answer = halves(found)
        return (squeezed(name) == squeezed(other) and alike(value, answer)) or compared(gold, found)
    parts = [part.strip() for part in APPROXIMATE.split(halves(without_name(found))[1])]
    return any((alike if part == found else same)(gold, part) for part in parts if part)


def alike(gold: str, found: str) -> bool:
    """Compare two expressions without names: percent signs, units, bases, then math-verify."""
    (gold, in_percent), (found, answered_in_percent) = without_percent(gold), without_percent(found)
    gold, found = without_units(gold), without_units(found)
    if squeezed(gold) == squeezed(found):
        return True
    if INTEGER.fullmatch(gold) and INTEGER.fullmatch(found):
        return int(gold) == int(found) or (in_percent != answered_in_percent and hundredfold(gold, found, in_percent))
    if is_numeral(gold) or is_numeral(found):
        return same_numeral(gold, found)
    if compared(gold, found):
        return True
    return in_percent != answered_in_percent and hundredfold(gold, found, in_percent)


def hundredfold(gold: str, found: str, in_percent: bool) -> bool:
    """Return whether the side in percent is a hundred times the other."""
    more, less = (gold, found) if in_percent else (found, gold)
    return compared(rf"\frac{{{more}}}{{100}}", less)


def compared(gold: str, found: str) -> bool:
    """Compare with math-verify, with our rules for letters and numbers."""
    sides = [algebraic(side) for text in one_notation(gold, found) for side in understood(text)[:1]]
    if len(sides) != 2 or any(isinstance(side, Basic) and side.has(nan, zoo) for side in sides):
        return False
    for side in sides:
        check_size(side)
    if differ(*sides):
        return False
    one, other = sides
    verdict: bool = verify([one], [other], timeout_seconds=None, raise_on_error=True, allow_set_relation_comp=True)
    equal_as_numbers = equal_numbers(one, other, verdict)
    return verdict if equal_as_numbers is None else equal_as_numbers
