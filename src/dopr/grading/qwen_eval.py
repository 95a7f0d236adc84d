r"""The profile qwen_eval: the rules of Qwen2.5-Math's evaluation code.

Source: evaluation/grader.py and parser.py of the public Qwen2.5-Math repository, and descriptions in papers. Answers
are normalised as text. Then they are equal

- as text, in any case and without brackets
- as numbers within a relative 1e-4, where the reference may also be divided or multiplied by 100 (percentages)
- element by element, if both are written in brackets (of any kind), or are matrices
- as equations, if the differences of their sides are equal up to sign; an answer `x = 5` is 5
- by sympy: equal, with difference 0, or numerically within 1e-4

As in the original, a list without brackets is read up to the first comma, and 1{,}000 and a typographic minus are not
read. Answers are extracted as in that code (dopr.grading.answers, `qwen`).

Departures: math-verify's parser parses expressions; the original tries three others. Units are those of
dopr.grading.units; the original has its own list, and keeps units for Minerva. Numbers in words are not read.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable

from dopr.grading.expressions import difference_is_zero, understood
from dopr.grading.structure import split
from dopr.grading.units import without_units

TOLERANCE = 1e-4
TEXT_RULES: list[tuple[str, str | Callable[[re.Match[str]], str]]] = [
    (r"\n|\\!|\\left(?![a-z])|\\right(?![a-z])", ""),
    (r"\\(?:begin|end)\{array\}(?:\{[^{}]*\})?", lambda m: m[0].partition("{")[0] + "{pmatrix}"),
    ("bmatrix", "pmatrix"),
    (r"\\[td]frac", r"\\frac"),
    (r"\\neq", r"\\ne"),
    (r"\\leq", r"\\le"),
    (r"\\geq", r"\\ge"),
    (r"\\([{}])", r"\1"),
    (r"(?<=.)\\text\s*\{[^{}]*\}$", ""),
    (r"\^\{?\\circ\}?|\\?\$|\\\(|\\\)|\\?%|\\mathbf|\\mbox\{[^{}]*\}|(?<![a-zA-Z])and(?![a-zA-Z])", ""),
    (r"\\text\s*\{([^{}]*)\}", r"\1"),
    (r"[xyz](?:=|\\in(?![a-z])|\\to(?![a-z]))", ""),
    (r"(?<!\\)inf(?:inity|ty)?(?![a-z])", r"\\infty"),
    (r"(?<![\d.])\.(?=\d)", "0."),
    (r"(\d+)\.0*(?!\d)", r"\1"),
    (r"^[^=]{1,2}=(?=[^=]*$)", ""),
    (r"\\sqrt(\w+)", r"\\sqrt{\1}"),
    (r"\s", ""),
    (r"\\frac(\d)(\d)", r"\\frac{\1}{\2}"),
    (r"\\frac(\d)\{", r"\\frac{\1}{"),
    (r"^(-?\d+)/(\d+)$", r"\\frac{\1}{\2}"),
]
COMPILED = [(re.compile(pattern), replacement) for pattern, replacement in TEXT_RULES]
BRACKETED = re.compile(r"[(\[].+[)\]]", re.DOTALL)
NOT_READ = re.compile(r"\{,\}|−")
MATRIX = re.compile(r"\\begin\{pmatrix\}(.*)\\end\{pmatrix\}", re.DOTALL)


def grade(reference: str, answer: str) -> str:
    """Return the verdict: correct, wrong or unparsed.

    Raises:
        ValueError: The reference is empty.
    """
    gold, found = normalised(reference), normalised(answer)
    if not gold:
        raise ValueError(f"reference answer {reference!r} is empty")
    if not found:
        return "unparsed"
    return "correct" if equal(found, gold) else "wrong"


def normalised(text: str) -> str:
    """Normalise an answer to plain text, without spaces, units and signs that do not count."""
    text = without_units(text.strip().rstrip("."))
    for pattern, replacement in COMPILED:
        text = pattern.sub(replacement, text)
    return text


def equal(answer: str, reference: str) -> bool:
    """Return whether two normalised answers are equal by any of the rules."""
    if answer.lower() == reference.lower():
        return True
    if re.fullmatch("[A-E]", reference) and re.findall(r"\b[A-E]\b", answer.upper())[-1:] == [reference]:
        return True
    value, expected = number(answer), number(reference)
    if value is not None and expected is not None:
        return equal_numbers(value, expected)
    if re.sub(r"[{}()]", "", answer).lower() == re.sub(r"[{}()]", "", reference).lower():
        return True
    if BRACKETED.match(answer) and BRACKETED.match(reference):
        return each_equal(answer[1:-1].split(","), reference[1:-1].split(","))
    matrices = [MATRIX.fullmatch(side) for side in (answer, reference)]
    if all(matrices):
        rows = [[row.split("&") for row in m[1].split(r"\\") if row] for m in matrices if m]
        return len(rows[0]) == len(rows[1]) and all(map(each_equal, *rows))
    if answer.count("=") == 1 and reference.count("=") == 1:
        return equal_equations(answer, reference)
    if re.fullmatch(r"[^=]{1,2}=[^=]+", answer) and "=" not in reference:
        return equal(answer.split("=")[1], reference)
    if re.fullmatch(r"[^=]{1,2}=[^=]+", reference) and "=" not in answer:
        return equal(answer, reference.split("=")[1])
    return equal_symbols(answer, reference)


def number(text: str) -> float | None:
    """Return the number that a text is, or None. Thousands separators are dropped."""
    try:
        return float(text.replace(",", ""))
    except ValueError:
        return None


def equal_numbers(answer: float, reference: float) -> bool:
    """Return whether two numbers are close; one of them may be in percent."""
    return any(math.isclose(answer, reference * factor, rel_tol=TOLERANCE) for factor in (0.01, 1, 100))


def each_equal(answers: list[str], references: list[str]) -> bool:
    """Return whether both lists have equal parts in order."""
    return len(answers) == len(references) and all(map(equal, answers, references))


def equal_equations(answer: str, reference: str) -> bool:
    """Return whether the differences of the sides of two equations are equal up to sign."""
    one, other = (f"{left} - ({right})" for left, right in (side.split("=") for side in (answer, reference)))
    return equal_symbols(one, other) or equal_symbols(f"-({one})", other)


def equal_symbols(answer: str, reference: str) -> bool:
    """Return whether sympy finds two expressions equal or their values close; of lists, only the first parts."""
    if NOT_READ.search(answer + reference):
        return False
    texts = [split(side)[0] for side in (answer, reference)]
    sides = [*understood(texts[0]), *understood(texts[1])]
    if len(sides) != 2:
        return False
    if sides[0] == sides[1] or difference_is_zero(*sides):
        return True
    if not all(getattr(side, "is_number", False) for side in sides):
        return False
    values = [complex(side.evalf()) for side in sides]
    return not any(value.imag for value in values) and math.isclose(*(v.real for v in values), rel_tol=TOLERANCE)
