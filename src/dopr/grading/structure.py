r"""The shape of an answer: a list, a set, a tuple or interval, a union, a matrix, or one expression.

The shape decides whether order counts. It does not count in the collections 1, 2 and `1 \text{ or } 2` and {1, 2} and
1 \pm 2, nor among equations on several lines. It counts in (1, 2), [1, 2) and the rows of a matrix. Only the top level
of brackets is split, so that f(x, y) stays whole.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from dopr.grading.tidy import squeezed, tidy
from dopr.grading.units import without_name

Kind = Literal["one", "collection", "tuple", "union", "matrix"]
MATRIX = re.compile(r"\\begin\{pmatrix\}(?P<cells>(?:(?!\\begin).)*?)\\end\{pmatrix\}")
WORD_COMMA = re.compile(r",?\s*(?:\\text\s*\{\s*,?\s*(?:and|or)\s*\}|(?<![a-zA-Z\\{])(?:and|or)(?![a-zA-Z}])|\\&)\s*")
THOUSANDS = re.compile(r"[-+]?\d{1,3}(?:,\d{3})+(?:\.\d+)?")
SIGNS = re.compile(r"\\[pm][mp](?![a-zA-Z])")
OPEN, CLOSE = "([{", ")]}"


@dataclass(frozen=True)
class Shape:
    """An answer taken apart.

    Attributes:
        kind: Its kind. `one` is a single expression.
        text: The whole text.
        parts: Its parts, unless it is a single expression.
        brackets: The brackets of a tuple, such as `(]`.
    """

    kind: Kind
    text: str
    parts: tuple[Shape, ...] = ()
    brackets: str = ""


@lru_cache(maxsize=8192)
def shape(text: str) -> Shape:
    """Parse an answer into its shape."""
    return _shape(tidy(text))


def _shape(text: str) -> Shape:
    text = text.strip()
    if r"\\" in text and r"\begin" not in text:
        return Shape(
            "collection", text, tuple(_shape(line.replace("&", " ")) for line in text.split(r"\\") if line.strip())
        )
    inner = without_name(WORD_COMMA.sub(" , ", text))
    unions = split(inner, (r"\cup",))
    if len(unions) > 1:
        return Shape("union", text, tuple(map(_shape, unions)))
    matrix = MATRIX.fullmatch(inner)
    if matrix:
        return Shape("matrix", text, tuple(_row(row) for row in matrix["cells"].split(r"\\") if row.strip()))
    brackets, content = unwrapped(inner)
    if brackets == "{}":
        return Shape("collection", text, _collected(content))
    if len(brackets) == 2 and len(split(content)) > 1 and not SIGNS.search(content):
        return Shape("tuple", text, tuple(_shape(part) for part in split(content)), brackets)
    if brackets == "()" and len(split(content)) == 1:
        return _shape(content)
    if THOUSANDS.fullmatch(squeezed(inner)) and ", " not in inner:
        return Shape("one", squeezed(inner).replace(",", ""))
    if len(split(inner)) > 1 or SIGNS.search(inner):
        return Shape("collection", text, _collected(inner))
    return Shape("one", text)


def _row(row: str) -> Shape:
    return Shape("tuple", row, tuple(_shape(cell) for cell in row.split("&")), "[]")


def _collected(text: str) -> tuple[Shape, ...]:
    parts: list[Shape] = []
    for part in filter(None, split(text)):
        both = [part.replace(r"\pm", a).replace(r"\mp", b) for a, b in (("+", "-"), ("-", "+"))]
        parts += map(_shape, both if SIGNS.search(part) else [part])
    return tuple(parts)


def unwrapped(text: str) -> tuple[str, str]:
    r"""Return the brackets around the whole text, with \{ \} as {}, and their content; "" and the text without any."""
    start, end = (2, 2) if text.startswith(r"\{") and text.endswith(r"\}") else (1, 1)
    if len(text) <= start + end or text[start - 1] not in OPEN or text[-1] not in CLOSE:
        return "", text
    depth = 0
    for position in range(start - 1, len(text) - 1):
        depth += (text[position] in OPEN) - (text[position] in CLOSE)
        if depth == 0:
            return "", text
    return text[start - 1] + text[-1], text[start:-end]


def split(text: str, separators: tuple[str, ...] = (",", ";")) -> list[str]:
    """Split a text at separators outside all brackets."""
    parts, depth, begin, position = [], 0, 0, 0
    while position < len(text):
        depth += (text[position] in OPEN) - (text[position] in CLOSE)
        separator = next((s for s in separators if depth == 0 and text.startswith(s, position)), None)
        if separator:
            parts.append(text[begin:position].strip())
            begin = position = position + len(separator)
        else:
            position += 1
    return [*parts, text[begin:].strip()]
