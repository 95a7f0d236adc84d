r"""Removal of units after an answer, and of names in front of it: `x = 5 \text{ cm}` becomes 5.

A unit is removed only after a number. All words in \text{} are units. Bare words are units only if they are listed
here, since `6m` may be six times m.
"""

from __future__ import annotations

import re

WRITTEN = r"\\text\s*\{[^{}]*\}(?:\s*\^\s*\{?\s*-?\d+\s*\}?)?"
CHAIN = re.compile(
    rf"(?:(?<=[\d}})!])|(?<=\\pi)|(?<=\\pi ))\s*(?:/\s*|\\cdot\s*)?"
    rf"(?:{WRITTEN}|\\frac\s*\{{\s*{WRITTEN}\s*\}}\s*\{{\s*{WRITTEN}\s*\}})"
    rf"(?:[\s/*.]|\\cdot|\\times|\\per|{WRITTEN})*$"
)
LISTED = (
    "degrees?|radians?|cents?|dollars?|euros?|pounds?|usd|units?|square|cubic|sq|cu|inch(?:es)?|in|feet|foot|ft|yards?"
    "|miles?|mph|kmh|kph|km|cm|mm|nm|(?:kilo|centi|milli)?met(?:er|re)s?|sec(?:ond)?s?|min(?:ute)?s?|h(?:ou)?rs?|days?"
    "|weeks?|months?|years?|yrs?|(?:kilo)?grams?|kg|lit(?:er|re)s?|ml|joules?|watts?|newtons?|kelvin|volts?|ohms?|hz|mol"
    "|moles?|people|students?|ways?|times|apples?|marbles?|coins?|balls?|books?|points?|per"
)
BARE = re.compile(rf"(?P<number>.*[\d}})])\s*(?:(?:{LISTED})(?:\s*\^\s*\{{?\d\}}?)?[\s/.]*)+", re.IGNORECASE)
NUMERIC = re.compile(r"[-+\d.,/\s(){}^*]|\\(?:frac|times|cdot|sqrt|pi)(?![a-zA-Z])")
NAME = re.compile(
    r"(?:\\text\s*\{[^{}]*\}|[^=<>,;\\{}()]|\\(?!le(?![a-z])|ge(?![a-z])|ne(?![a-z])|in(?![a-z])|[{}])"
    r"|\{[^{}=<>]*\}|\([^()=<>]*\))+"
)
OPERATOR = re.compile(r"[-+*/^|]|\\(?:[dt]?frac|sqrt|cdot|times|binom)(?![a-zA-Z])|^\s*\d")


def without_units(text: str) -> str:
    """Remove the units after a number."""
    bare = CHAIN.sub("", text).strip()
    listed = BARE.fullmatch(bare)
    if listed and not NUMERIC.sub("", listed["number"]):
        bare = listed["number"].strip()
    return bare or text


def without_name(text: str) -> str:
    r"""Remove a plain name and the first `=` or `\in` after it: x = 5, f(x) = 2x, x \in [0, 1]."""
    for sign in ("=", r"\in "):
        name, found, rest = text.partition(sign)
        if found and rest.strip() and NAME.fullmatch(name) and "=" not in rest.replace(r"\ne", ""):
            return rest.strip()
    return text


def is_name(text: str) -> bool:
    r"""Return whether a text is the name of a quantity, such as x, f(x) or \text{Area}, but not 2x or x + y."""
    return bool(NAME.fullmatch(text)) and not OPERATOR.search(text)
