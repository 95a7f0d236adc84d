r"""The profile deepscaler: the rules of the reward that DeepScaleR and 1-shot RLVR train with.

Source: deepscaler/rewards of the public One-Shot-RLVR and DeepScaleR repositories. The answer is in the last box. The
reward is 0 or 1. An answer is correct if one of two graders accepts it:

- mathd: equal text after Hendrycks' normalisation of fractions, spaces, units in \text{ }, degrees and `x=`
- sympy: equal text after another normalisation, in lower case and without listed units. Otherwise elements are
  compared: a fraction must be the same fraction, an integer must be an integer, and sympy must find a difference of 0
  for others. Powers in parentheses or of two digits, matrices, and more than two unknown letters are not tried.

Departure: the rules here turn LaTeX into text, and math-verify's parser parses it. The original uses pylatexenc and
sympy's own parser, which evaluates code.
"""

from __future__ import annotations

import re

from dopr.grading.expressions import difference_is_zero, understood

UNITS = "degree|cm|centimeter|meter|mile|second|minute|hour|day|week|month|year|foot|feet|inch|yard"
MATHD_RULES = [
    (r"^\\text\{(.+?)\}$", r"\1"),
    (r"\n|\\!", ""),
    (r"\\\\", r"\\"),
    (r"[td]frac", "frac"),
    (r"\\left|\\right|\^\{?\\circ\}?|\\\$|\\text\{ .*|\\%", ""),
    (r"(?<![\d])\.(?=\d)", "0."),
    (r"^[^=]{1,2}=(?=[^=]*$)", ""),
    (r"\\sqrt([^{])", r"\\sqrt{\1}"),
    (r" ", ""),
    (r"\\frac([^{])([^{])", r"\\frac{\1}{\2}"),
    (r"\\frac([^{])\{", r"\\frac{\1}{"),
    (r"^0\.5$", r"\\frac{1}{2}"),
    (r"^(-?\d+)/(\d+)$", r"\\frac{\1}{\2}"),
]
SYMPY_RULES = [
    (r"^\\text\{(.+?)\}$", r"\1"),
    (r"\\?%|\\?\$|,\\! *|\\left|\\right|\^ *\\circ", ""),
    (r" (?:or|and) ", ","),
    (r"\\(?:text|textbf|textnormal|mathrm|mathbf|mbox|underline)\{([^{}]*)\}", r"\1"),
    (r"\\begin\{[bp]?matrix\}", "["),
    (r"\\end\{[bp]?matrix\}", "]"),
    (r"\\\\", ";"),  # a matrix's next row
    (r"\\displaystyle|\\[()\[\],;:!]", ""),
    (r"\\ ", " "),
    (rf"(?:{UNITS})(?:es)?s? *(?:\^[0-9]+)?", ""),
    (r" *million", "*10^6"),
    (r" *billion", "*10^9"),
    (r"[td]frac", "frac"),
    (r"(?<=[0-9]) *\\frac", r" \\frac"),
    (r"(?<![\^.0-9])([0-9]+) +([0-9])", r"\1+\2"),  # mixed numbers
]
PLAIN_RULES = [
    (r"\\frac *\{([^{}]*)\} *\{([^{}]*)\}", r"\1/\2"),
    (r"\\frac *(\d) *(\d)", r"\1/\2"),
    (r"\\sqrt *\{?(\w+)\}?", r"sqrt(\1)"),
    (r"\\(?:cdot|times)", "*"),
    (r"\\", ""),
    (r"([0-9]) +([0-9])", r"\1+\2"),
    (r"- +", "-"),
    (r"[ {}]", ""),
]
THOUSANDS = re.compile(r"(?<=\d),(?=\d{3}(?:\D|$))")
FRACTION = re.compile(r"-?[0-9]+.?/0*[1-9][0-9]*.?")
UNTRIED = re.compile(r";|\^\{|\^\(|\^[0-9]+\^|\^[0-9][0-9]+")


def grade(reference: str, answer: str) -> str:
    """Return the verdict: correct, wrong or unparsed.

    Raises:
        ValueError: The reference is empty.
    """
    if not reference.strip():
        raise ValueError(f"reference answer {reference!r} is empty")
    if not answer.strip():
        return "unparsed"
    same_text = apply(MATHD_RULES, reference) == apply(MATHD_RULES, answer)
    return "correct" if same_text or equal_by_sympy(reference, answer) else "wrong"


def apply(rules: list[tuple[str, str]], text: str) -> str:
    """Apply a list of replacements to a text."""
    text = text.strip()
    for pattern, replacement in rules:
        text = re.sub(pattern, replacement, text)
    return text.strip()


def plain(text: str) -> str:
    """Return an element as text in lower case; whole numbers without decimals."""
    text = THOUSANDS.sub("", apply(PLAIN_RULES, text).lower())
    value = whole(text)
    return text if value is None else str(value)


def whole(text: str) -> int | None:
    """Return the integer that a text is, or None."""
    try:
        value = float(text)
    except ValueError:
        return None
    return round(value) if abs(value) < 1e300 and abs(value - round(value)) <= 1e-7 else None


def equal_by_sympy(reference: str, answer: str) -> bool:
    """Compare as the second grader does, element by element."""
    gold, found = (THOUSANDS.sub("", apply(SYMPY_RULES, side)) for side in (reference, answer))
    if plain(gold) == plain(found):
        return True
    golds, founds = elements(gold), elements(found)
    if len(golds) != len(founds) or (len(golds) > 1 and (gold[0] != found[:1] or gold[-1] != found[-1:])):
        return False
    return all(map(equal_elements, golds, founds))


def elements(text: str) -> list[str]:
    """Return the elements of a tuple or interval, or the whole text as one element."""
    if len(text) > 2 and text[0] in "([" and text[-1] in ")]" and not re.search(r"[()\[\]]", text[1:-1]):
        return [part.strip() for part in text[1:-1].split(",")]
    return [text]


def equal_elements(gold: str, found: str) -> bool:
    """Return whether two elements are equal: fractions and integers as text, anything else by sympy."""
    one, other = plain(gold), plain(found)
    if one == other:
        return True
    if FRACTION.fullmatch(one) and FRACTION.fullmatch(other):
        return False
    if (whole(one) is None) != (whole(other) is None):
        return False
    letters = {letter for letter in re.sub("sqrt|frac", "", one + other) if letter.isalpha()}
    if len(letters) > 2 or UNTRIED.search(f"({one})-({other})"):
        return False
    sides = [*understood(gold), *understood(found)]
    return len(sides) == 2 and difference_is_zero(*sides)
