"""Task families by name: those of the embedded task, and worded ones for models that read English.

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
    """What makes a family's problems, and its level.

    Raises:
        ValueError: no such family among the known.
    """
    match = FAMILY.match(family)
    if not match or match[1] not in known:
        raise ValueError(
            f"there is no task family {family!r}; known are {', '.join(sorted(known))}, each with a level as in "
            f"{next(iter(known))}3"
        )
    return known[match[1]], int(match[2])


def draw(family: str, rng: random.Random) -> Problem:
    """A random problem of a family such as `chain3`.

    Raises:
        ValueError: no such family.
    """
    make, level = find(family)
    return make(family, level, rng)


def draw_distinct(family: str, count: int, rng: random.Random, excluded: set[str]) -> list[Problem]:
    """`count` problems with distinct questions, none in `excluded`.

    Raises:
        DataError: The family has too few questions.
    """
    found: dict[str, Problem] = {}
    idle = 0  # draws since the last new question; of N questions the last takes about N
    while len(found) < count and idle < 1000 + 10 * (len(found) + len(excluded)):
        problem = draw(family, rng)
        idle += 1
        if problem.question not in excluded and problem.question not in found:
            found[problem.question], idle = problem, 0
    if len(found) == count:
        return list(found.values())
    raise DataError(
        f"data: family {family} has only about {len(found)} free questions, {count} were asked for: ask for fewer"
    )


def draw_mixture(weights: dict[str, float], rng: random.Random, excluded: set[str]) -> Iterator[Problem]:
    """Endless problems of a weighted mixture of families, with repeats, none in `excluded`."""
    families, shares = list(weights), list(weights.values())
    while True:
        problem = draw(rng.choices(families, shares)[0], rng)
        if problem.question not in excluded:
            yield problem
