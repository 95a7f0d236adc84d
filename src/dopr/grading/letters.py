r"""What letters stand for, where math-verify reads them otherwise than mathematicians write them.

It lowers every letter, so that R - r is 0; takes \gamma for a function, E for Euler's number, an i on its own for a
variable, \log for the decimal logarithm; drops primes; and solves equations with derivatives as if they were 0.
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
    """A text in which what the parser takes for constants and functions is variables."""
    for pattern, replacement in VARIABLES:
        text = pattern.sub(replacement, text)
    return text


def one_notation(gold: str, found: str) -> tuple[str, str]:
    r"""Both sides with capitals kept from small letters where a side has both, and \log as \ln where there is \ln."""
    both = both_cases(gold) | both_cases(found)
    if both:
        gold, found = capitals(gold, both), capitals(found, both)
    if NATURAL.search(gold + found):
        gold, found = LOGARITHM.sub(r"\\ln", gold), LOGARITHM.sub(r"\\ln", found)
    return gold, found


def both_cases(text: str) -> set[str]:
    """The letters that a text has as a capital and as a small one, as capitals."""
    letters = {match[1] for match in LETTER.finditer(text) if match[1]}
    return {letter for letter in letters if letter.isupper() and letter.lower() in letters}


def capitals(text: str, letters: set[str]) -> str:
    """A text whose capitals of these letters keep their case in the parser."""
    return LETTER.sub(lambda m: rf"\mathcal{{{m[0]}}}" if m[1] in letters else m[0], text)


def algebraic(expression: Any) -> Any:
    """An expression with the imaginary unit in place of i, and variables in place of derivatives."""
    if isinstance(expression, Basic) and expression.has(Derivative):
        expression = expression.replace(lambda part: isinstance(part, Derivative), lambda part: Symbol(str(part)))
    if not isinstance(expression, Expr):
        return expression
    return expression.subs({symbol: I for symbol in expression.free_symbols if str(symbol) == "i"})
