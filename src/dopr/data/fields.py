r"""What a field of a row holds, as what a prompt is made of: a question, a reference answer, an id, choices.

Answers are text or numbers as they are, or stand at the end of a worked solution: in its last box (`boxed`), or after
its last `####` (`gsm8k`). What no reference can be read from, as NaN, is refused.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from dopr.data.rows import Row
from dopr.grading import answers
from dopr.grading.answers import MARK, last_boxed

PLACE = re.compile(r"-?[0-9]+")
T = TypeVar("T")


def read(row: Row, field: str, convert: Callable[[Any], T]) -> T:
    """A field of a row, through lists and objects, converted; a column whose name has dots goes before a path.

    Raises:
        ValueError: it is not there, or of another kind; names it.
    """
    value: Any = row
    for part in [field] if field in row else field.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and PLACE.fullmatch(part) and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            raise ValueError(f"has no field {field!r}; it has {', '.join(map(str, row))}: name one in the source")
    try:
        return convert(value)
    except TypeError as problem:
        raise ValueError(f"field {field!r} is {str(value)[:40]!r}, {problem}") from None


def text(value: Any) -> str:
    """Text that is not blank.

    Raises:
        TypeError: it is no such text.
    """
    if not isinstance(value, str) or not value.strip():
        raise TypeError("and not text; every row needs some")
    return value


def number(value: Any) -> str:
    """An id: text or a whole number.

    Raises:
        TypeError: it is neither.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        raise TypeError("and neither text nor a whole number; every row needs an id of its own")
    return str(value)


def choices(value: Any) -> str:
    """One line a choice, from {"label": [...], "text": [...]}.

    Raises:
        TypeError: it is no such object.
    """
    labels, texts = (value.get(key) if isinstance(value, dict) else None for key in ("label", "text"))
    if not isinstance(labels, Sequence) or not isinstance(texts, Sequence) or len(labels) != len(texts) or not texts:
        raise TypeError("and no object with as many a `label` as a `text`")
    return "\n".join(f"{text(label)}. {text(said)}" for label, said in zip(labels, texts, strict=True))


def answer(form: str) -> Callable[[Any], str]:
    """How a reference answer is read from a field of a form, a key of ANSWERS; of a list of one, from its element. What
    is null or blank is "".

    Raises, when it is called:
        TypeError: no answer can be read.
    """

    def convert(value: Any) -> str:
        if isinstance(value, list) and len(value) == 1:
            return convert(value[0])
        if value is None or (isinstance(value, str) and not value.strip()):
            return ""
        return ANSWERS[form](value)

    return convert


def plain(value: Any) -> str:
    """Text and numbers as they are, whole ones without decimals: 27.0 is 27, and a decimal 12.50 is 12.50."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise TypeError("and neither text nor a number; write the answer out, or drop the row")
    if not isinstance(value, int) and not says_something(value):
        raise TypeError("and no finite number; write the answer out, or drop the row")
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and value.is_integer():
        return str(int(Decimal(repr(value))))  # int(1e23) is 99999999999999991611392
    return str(value).strip()


def says_something(value: str | float | Decimal) -> bool:
    """Whether a value is no NaN, inf or 1e999, nor the text of one; infinity, spelt out, may be an answer."""
    try:
        return math.isfinite(float(value)) or "infinity" in str(value).lower()
    except ValueError:
        return True


def boxed(value: Any) -> str:
    """What a worked solution has in its last box."""
    found = last_boxed(text(value))
    if found is None:
        raise TypeError(r"which has no complete \boxed{}; give the answer's own field, or another `answer_format`")
    return plain(found)


def marked(value: Any) -> str:
    """What a worked solution has after its last `####`, to the end of the line; an amount as a plain number."""
    if MARK not in text(value):
        raise TypeError(f"which has no {MARK} before an answer; give another `answer_format`")
    return plain(answers.marked(value) or "")


ANSWERS: dict[str, Callable[[Any], str]] = {"text": plain, "boxed": boxed, "gsm8k": marked}
