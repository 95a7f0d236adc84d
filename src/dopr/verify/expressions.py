"""LaTeX to sympy by math-verify's parser, and the questions profiles ask of two expressions."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from latex2sympy2_extended import NormalizationConfig
from math_verify import parse
from math_verify.parser import LatexExtractionConfig
from sympy import Basic, MatrixBase, simplify

from dopr.verify.guards import check_size

LATEX = LatexExtractionConfig(  # the box as a whole or nothing: no fraction out of what cannot be parsed
    try_extract_without_anchor=False,
    normalization_config=NormalizationConfig(malformed_operators=True, nits=True, boxed="last"),
)
CONSTANT = re.compile(r"(?<![A-Za-z\\])([EI])(?=_)")  # E_1 is a variable


@lru_cache(maxsize=8192)
def understood(text: str) -> list[Any]:
    """The expression that math-verify finds in a text, in a list; empty if there is none."""
    text = CONSTANT.sub(r"\\mathcal{\1}", text).replace(r"\odot", "sun")
    found = parse(f"\\boxed{{{text}}}", [LATEX], parsing_timeout=None)
    return [expression for expression in found if isinstance(expression, Basic | MatrixBase)]


def difference_is_zero(one: str, other: str) -> bool:
    """Whether sympy simplifies the difference of two expressions to 0; False if either cannot be parsed.

    Raises:
        TooLargeError: an expression is too large to be evaluated.
    """
    sides = [*understood(one), *understood(other)]
    if len(sides) != 2:
        return False
    for side in sides:
        check_size(side)
    try:
        return bool(simplify(sides[0] - sides[1]) == 0)
    except (TypeError, ValueError, AttributeError, NotImplementedError):  # of sets, relations and the like
        return False
