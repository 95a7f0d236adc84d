"""Task families by name: those of the embedded task, and word problems for models that read English.

A family's name is a kind and a level, such as chain3 (dopr.data.arithmetic) or plus2 (dopr.data.word_problems).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping

from dopr.data import arithmetic, word_problems
from dopr.data.arithmetic import Maker, Problem
from dopr.files import DataError

FAMILY = re.compile(r"([a-z]+)([1-9])$")
EMBEDDED: Mapping[str, Maker] = arithmetic.MAKERS
KNOWN: Mapping[str, Maker] = {**EMBEDDED, **word_problems.MAKERS}


def find(family: str, known: Mapping[str, Maker] = KNOWN) -> tuple[Maker, int]:
    """Return the function that makes a family's problems, and the family's level.

    Raises:
        ValueError: There is no such family in `known`.
    """
    match = FAMILY.match(family)
    if not match or match[1] not in known:
        raise ValueError(
            f"there is no task family {family!r}; known are {', '.join(sorted(known))}, each with a level as in "
            f"{next(iter(known))}3"
        )
    return known[match[1]], int(match[2])


def draw(family: str, rng: random.Random) -> Problem:
    """Draw a random problem of a family such as `chain3`.

    Raises:
        ValueError: There is no such family.
    """
    make, level = find(family)
    return make(family, level, rng)


def draw_distinct(family: str, count: int, rng: random.Random, excluded: set[str]) -> list[Problem]:
    """Draw `count` problems with distinct questions that are not in `excluded`.

    Raises:
        DataError: The family has too few questions.
    """
    problems: dict[str, Problem] = {}
    fruitless = 0  # draws since the last new question; the last of N questions takes about N draws
    while len(problems) < count and fruitless < 1000 + 10 * (len(problems) + len(excluded)):
        problem = draw(family, rng)
        fruitless += 1
        if problem.question not in excluded and problem.question not in problems:
            problems[problem.question], fruitless = problem, 0
    if len(problems) == count:
        return list(problems.values())
    raise DataError(
        f"data: family {family} has only about {len(problems)} free questions, {count} were asked for: ask for fewer"
    )


def draw_mixture(weights: dict[str, float], rng: random.Random, excluded: set[str]) -> Iterator[Problem]:
    """Yield problems of a weighted mixture of families without end, with repeats, none in `excluded`."""
    families, shares = list(weights), list(weights.values())
    while True:
        problem = draw(rng.choices(families, shares)[0], rng)
        if problem.question not in excluded:
            yield problem
