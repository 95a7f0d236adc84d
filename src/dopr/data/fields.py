r"""Reading the fields of a row that a prompt is made of: question, reference answer, id and choices.

An answer is text or a number, or the end of a worked solution: its last box (`boxed`), or the text after its last
`####` (`gsm8k`). A value that no reference can be read from, such as NaN, raises an error.
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

INDEX = re.compile(r"-?[0-9]+")
T = TypeVar("T")


def read(row: Row, field: str, convert: Callable[[Any], T]) -> T:
    """Read and convert a field of a row. A dotted path leads through lists and objects, unless a column has its name.

    Raises:
        ValueError: The field is missing or of the wrong type. The message names it.
    """
    value: Any = row
    for part in [field] if field in row else field.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and INDEX.fullmatch(part) and -len(value) <= int(part) < len(value):
            value = value[int(part)]
        else:
            raise ValueError(f"has no field {field!r}; it has {', '.join(map(str, row))}: name one in the source")
    try:
        return convert(value)
    except TypeError as problem:
        raise ValueError(f"field {field!r} is {str(value)[:40]!r}, {problem}") from None


def text(value: Any) -> str:
    """Return text that is not blank.

    Raises:
        TypeError: The value is something else.
    """
    if not isinstance(value, str) or not value.strip():
        raise TypeError("and not text; every row needs some")
    return value


def row_id(value: Any) -> str:
    """Return an id, which is text or a whole number, as text.

    Raises:
        TypeError: The value is neither.
    """
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        raise TypeError("and neither text nor a whole number; every row needs an id of its own")
    return str(value)


def choices(value: Any) -> str:
    """Return one line for each choice of {"label": [...], "text": [...]}.

    Raises:
        TypeError: The value is no such object.
    """
    labels, texts = (value.get(key) if isinstance(value, dict) else None for key in ("label", "text"))
    if not isinstance(labels, Sequence) or not isinstance(texts, Sequence) or len(labels) != len(texts) or not texts:
        raise TypeError("and no object with as many a `label` as a `text`")
    return "\n".join(f"{text(label)}. {text(choice)}" for label, choice in zip(labels, texts, strict=True))


def answer(form: str) -> Callable[[Any], str]:
    """Return a function that reads a reference answer from a field.

    It takes the element of a list of one, and turns null and blank text into "". It raises TypeError if it cannot read
    an answer.

    Args:
        form: A key of ANSWERS.
    """

    def convert(value: Any) -> str:
        if isinstance(value, list) and len(value) == 1:
            return convert(value[0])
        if value is None or (isinstance(value, str) and not value.strip()):
            return ""
        return ANSWERS[form](value)

    return convert


def plain(value: Any) -> str:
    """Return text or a number as text. A whole float loses its decimals: 27.0 is 27. Decimal 12.50 stays 12.50."""
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        raise TypeError("and neither text nor a number; write the answer out, or drop the row")
    if not isinstance(value, int) and not is_finite(value):
        raise TypeError("and no finite number; write the answer out, or drop the row")
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, float) and value.is_integer():
        return str(int(Decimal(repr(value))))  # int(1e23) is 99999999999999991611392
    return str(value).strip()


def is_finite(value: str | float | Decimal) -> bool:
    """Return False for NaN, inf, 1e999 and their text. The word infinity may be an answer, so it gives True."""
    try:
        return math.isfinite(float(value)) or "infinity" in str(value).lower()
    except ValueError:
        return True


def boxed(value: Any) -> str:
    """Return the content of the last box of a worked solution."""
    content = last_boxed(text(value))
    if content is None:
        raise TypeError(r"which has no complete \boxed{}; give the answer's own field, or another `answer_format`")
    return plain(content)


def marked(value: Any) -> str:
    """Return the rest of the line after the last `####` of a worked solution; an amount as a plain number."""
    if MARK not in text(value):
        raise TypeError(f"which has no {MARK} before an answer; give another `answer_format`")
    return plain(answers.marked(value) or "")


ANSWERS: dict[str, Callable[[Any], str]] = {"text": plain, "boxed": boxed, "gsm8k": marked}
