r"""The meaning of letters, where math-verify reads them differently from mathematicians.

math-verify turns capitals into small letters, so that R - r is 0. It reads \gamma as a function, E as Euler's number, i
as a variable and \log as the decimal logarithm. It drops primes, and reads derivatives in equations as 0.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from sympy import Basic, Expr, I, Symbol
from sympy.core.function import Derivative

LETTER = re.compile(r"\\(?:text|mathcal)\s*\{[^{}]*\}|\\[a-zA-Z]+|([a-zA-Z])")
NATURAL, LOGARITHM = re.compile(r"\\ln(?![a-zA-Z])"), re.compile(r"\\log(?![a-zA-Z_])")
VARIABLES: list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]] = [
    (re.compile(r"(?<![A-Za-z\\])([EI])(?=_)"), r"\\mathcal{\1}"),  # E_1 is a variable
    (re.compile(r"\\gamma(?![a-zA-Z])"), "g_{gamma}"),
    (re.compile(r"\\odot(?![a-zA-Z])"), "sun"),
    (re.compile(r"([a-zA-Z])('+)"), lambda m: f"{m[1]}_{{{'p' * len(m[2])}}}"),
]


def variables(text: str) -> str:
    """Rewrite variables that the parser would read as constants or functions."""
    for pattern, replacement in VARIABLES:
        text = pattern.sub(replacement, text)
    return text


def one_notation(gold: str, found: str) -> tuple[str, str]:
    r"""Write both sides in one notation.

    Capitals keep their case if a side has a letter in both cases. \log becomes \ln if a side has \ln.
    """
    letters = both_cases(gold) | both_cases(found)
    if letters:
        gold, found = capitals(gold, letters), capitals(found, letters)
    if NATURAL.search(gold + found):
        gold, found = LOGARITHM.sub(r"\\ln", gold), LOGARITHM.sub(r"\\ln", found)
    return gold, found


def both_cases(text: str) -> set[str]:
    """Return the letters that a text has in both cases, as capitals."""
    letters = {match[1] for match in LETTER.finditer(text) if match[1]}
    return {letter for letter in letters if letter.isupper() and letter.lower() in letters}


def capitals(text: str, letters: set[str]) -> str:
    """Rewrite capitals of these letters so that they keep their case in the parser."""
    return LETTER.sub(lambda m: rf"\mathcal{{{m[0]}}}" if m[1] in letters else m[0], text)


def algebraic(expression: Any) -> Any:
    """Replace i with the imaginary unit, and derivatives with variables."""
    if isinstance(expression, Basic) and expression.has(Derivative):
        expression = expression.replace(lambda part: isinstance(part, Derivative), lambda part: Symbol(str(part)))
    if not isinstance(expression, Expr):
        return expression
    return expression.subs({symbol: I for symbol in expression.free_symbols if str(symbol) == "i"})
