r"""Procedural arithmetic problems with step-by-step solutions.

Every problem is a start value and a list of operations. All families and all styles of solutions are made from it:

    chainL  compute 42 - 7 + 3            L additions and subtractions
    mulL    compute 3 * 4 - 7             a product, then L - 1 additions and subtractions
    eq1     solve 3 x + 4 = 19            eq2  solve 3 ( x + 2 ) - 4 = 17
    wordL   tom has 12 pens , gets 7 more , how many ?
    mod1    ( 31 + 8 ) mod 7
    big1    compute 417 * 358             far beyond the model: never earns reward

Intermediate values stay within 0..40 and factors within 2..6, so that a policy of 0.1 M parameters learns them in a
minute.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

MAX_VALUE = 40
NAMES = ("tom", "ann", "ben", "eva", "max", "mia")
ITEMS = ("pens", "nuts", "eggs", "cards", "books", "coins")
GAIN, LOSE = ("gets", "finds", "buys"), ("loses", "sells", "eats")
STYLES = ("careful", "sloppy", "direct", "unboxed")


@dataclass(frozen=True)
class Problem:
    """A question, and the start value and operations that lead to its answer."""

    family: str
    question: str
    start: int
    operations: tuple[tuple[str, int], ...]

    @property
    def answer(self) -> int:
        """The value after all operations."""
        value = self.start
        for operator, operand in self.operations:
            value = apply(value, operator, operand)
        return value


Maker = Callable[[str, int, random.Random], Problem]  # arguments: family, level, random numbers


def apply(value: int, operator: str, operand: int) -> int:
    """Apply one operation to an integer. Division rounds down; it is exact unless an earlier step was wrong."""
    match operator:
        case "+":
            return value + operand
        case "-":
            return value - operand
        case "*":
            return value * operand
        case "/":
            return value // operand
        case "mod":
            return value % operand
    raise ValueError(f"unknown operator {operator!r}")


def solution(problem: Problem, style: str, rng: random.Random) -> str:
    r"""Write a solution in one of STYLES.

    careful has every step and \boxed{}. sloppy has one step that is off by 1 to 9. direct has no steps. unboxed has no
    \boxed{}.
    """
    if style == "direct":
        return f"so \\boxed{{{problem.answer}}}"
    wrong_step = rng.randrange(len(problem.operations)) if style == "sloppy" else None
    value, steps = problem.start, []
    for step, (operator, operand) in enumerate(problem.operations):
        result = apply(value, operator, operand)
        if step == wrong_step:
            error = rng.randint(1, 9)
            result += error if rng.random() < 0.5 or result < error else -error
        sign = f" {operator} " if operator == "mod" else operator
        steps.append(f"{value}{sign}{operand}={result}")
        value = result
    ending = f"so {value}" if style == "unboxed" else f"\\boxed{{{value}}}"
    return " ; ".join(steps) + " " + ending


def vocabulary() -> list[str]:
    """Return every token of every question and solution in a fixed order, as dopr.data.tokenizer splits them."""
    words = ["compute", "solve", "mod", "how", "many", "more", "so", "x", "has", *NAMES, *ITEMS, *GAIN, *LOSE]
    symbols = ["+", "-", "*", "/", "=", "(", ")", ",", "?", ";"]
    return [
        *"0123456789",
        *symbols,
        *(f" {symbol}" for symbol in symbols),
        *words,
        *(f" {word}" for word in words),
        "\\boxed{",
        "}",
        " ",
        "\n",
    ]


def _additive_steps(value: int, count: int, rng: random.Random) -> list[tuple[str, int]]:
    steps = []
    for _ in range(count):
        operand = rng.randint(2, 9)
        choices = [s for s in "+-" if 0 <= apply(value, s, operand) <= MAX_VALUE]
        operator = rng.choice(choices)
        steps.append((operator, operand))
        value = apply(value, operator, operand)
    return steps


def _expression(start: int, operations: list[tuple[str, int]]) -> str:
    return " ".join([str(start), *(f"{operator} {operand}" for operator, operand in operations)])


def _chain(family: str, level: int, rng: random.Random) -> Problem:
    start = rng.randint(0, MAX_VALUE)
    steps = _additive_steps(start, level, rng)
    return Problem(family, f"compute {_expression(start, steps)}", start, tuple(steps))


def _mul(family: str, level: int, rng: random.Random) -> Problem:
    start, factor = rng.randint(2, 6), rng.randint(2, 6)
    steps = [("*", factor), *_additive_steps(start * factor, level - 1, rng)]
    return Problem(family, f"compute {_expression(start, steps)}", start, tuple(steps))


def _eq(family: str, level: int, rng: random.Random) -> Problem:
    factor, inner = rng.randint(2, 6), rng.randint(2, 6)
    operator, offset = _additive_steps(factor * inner, 1, rng)[0]
    total = apply(factor * inner, operator, offset)
    undo = ("-" if operator == "+" else "+", offset)
    if level == 1:
        question = f"solve {factor} x {operator} {offset} = {total}"
        return Problem(family, question, total, (undo, ("/", factor)))
    shift = rng.randint(1, inner)
    question = f"solve {factor} ( x + {shift} ) {operator} {offset} = {total}"
    return Problem(family, question, total, (undo, ("/", factor), ("-", shift)))


def _word(family: str, level: int, rng: random.Random) -> Problem:
    start = rng.randint(0, MAX_VALUE)
    steps = _additive_steps(start, level, rng)
    events = [f"{rng.choice(GAIN)} {n} more" if sign == "+" else f"{rng.choice(LOSE)} {n}" for sign, n in steps]
    question = f"{rng.choice(NAMES)} has {start} {rng.choice(ITEMS)} , " + " , ".join([*events, "how many ?"])
    return Problem(family, question, start, tuple(steps))


def _mod(family: str, level: int, rng: random.Random) -> Problem:
    start, modulus = rng.randint(0, MAX_VALUE), rng.randint(3, 9)
    steps = _additive_steps(start, level, rng)
    return Problem(family, f"( {_expression(start, steps)} ) mod {modulus}", start, (*steps, ("mod", modulus)))


def _big(family: str, level: int, rng: random.Random) -> Problem:
    start = rng.randint(101, 999)
    steps = [("*", rng.randint(101, 999)) for _ in range(level)]
    return Problem(family, f"compute {_expression(start, steps)}", start, tuple(steps))


MAKERS: dict[str, Maker] = {
    "chain": _chain,
    "mul": _mul,
    "eq": _eq,
    "word": _word,
    "mod": _mod,
    "big": _big,
}
