"""Arithmetic word problems in plain English, for models that were trained on English text.

    plus1     What is 7 + 5?                    minus1  What is 9 - 4?
    times1    What is 6 times 7?                over1   What is 42 divided by 6?
    next1     What number comes next: 3, 7, 11, 15?
    larger2   Which number is larger, 37 or 73?
    gets1     Tom has 8 books and gets 5 more. How many books does Tom have now?
    gives1    Ann has 9 coins and gives away 4 of them. How many coins are left?
    both1     Sam has 7 pens and Zoe has 5 pens. How many pens do they have together?
    more1     Max has 9 cards and Mia has 4. How many more cards does Max have?
    bags1     There are 6 bags with 4 eggs in each bag. How many eggs are there?
    price1    One cake costs 8 dollars. How many dollars do 3 cakes cost?
    share1    24 nuts are shared equally among 4 children. How many nuts does each child get?
    sells1    Eva has 8 shells, buys 5 more and then sells 3. How many shells are left?

Level 1 has numbers from 2 to 12. At level 2 the first number is from 13 to 99, and at level n it has n digits. In plus,
minus, larger, both and more the second number is of the level too. No answer is negative or a fraction.
"""

from __future__ import annotations

import random

from dopr.data.arithmetic import Maker, Problem

NAMES = ("Ann", "Ben", "Eva", "Max", "Mia", "Sam", "Tom", "Zoe")
ITEMS = ("apples", "books", "cards", "coins", "eggs", "nuts", "pens", "shells")
GOODS = ("book", "cake", "lamp", "ball", "kite", "hat")
MOST_STEP = 6  # between neighbours of a sequence


def _number(level: int, rng: random.Random) -> int:
    lowest, highest = {1: (2, 12), 2: (13, 99)}.get(level, (10 ** (level - 1), 10**level - 1))
    return rng.randint(lowest, highest)


def _falling(level: int, rng: random.Random) -> tuple[int, int]:
    """Draw two different numbers, the larger first."""
    first = second = _number(level, rng)
    while first == second:
        second = _number(level, rng)
    return max(first, second), min(first, second)


def _plus(family: str, level: int, rng: random.Random) -> Problem:
    first, second = _number(level, rng), _number(level, rng)
    return Problem(family, f"What is {first} + {second}?", first, (("+", second),))


def _minus(family: str, level: int, rng: random.Random) -> Problem:
    first, second = _falling(level, rng)
    return Problem(family, f"What is {first} - {second}?", first, (("-", second),))


def _times(family: str, level: int, rng: random.Random) -> Problem:
    first, second = _number(level, rng), _number(1, rng)
    return Problem(family, f"What is {first} times {second}?", first, (("*", second),))


def _over(family: str, level: int, rng: random.Random) -> Problem:
    quotient, divisor = _number(level, rng), _number(1, rng)
    total = quotient * divisor
    return Problem(family, f"What is {total} divided by {divisor}?", total, (("/", divisor),))


def _next(family: str, level: int, rng: random.Random) -> Problem:
    start, step = _number(level, rng), rng.randint(2, MOST_STEP)
    *first, last = range(start, start + 4 * step, step)
    return Problem(family, f"What number comes next: {', '.join(map(str, first))}, {last}?", last, (("+", step),))


def _larger(family: str, level: int, rng: random.Random) -> Problem:
    pair = _falling(level, rng)
    first, second = rng.sample(pair, 2)
    return Problem(family, f"Which number is larger, {first} or {second}?", pair[0], ())


def _gets(family: str, level: int, rng: random.Random) -> Problem:
    name, items, first, second = rng.choice(NAMES), rng.choice(ITEMS), _number(level, rng), _number(1, rng)
    question = f"How many {items} does {name} have now?"
    return Problem(family, f"{name} has {first} {items} and gets {second} more. {question}", first, (("+", second),))


def _gives(family: str, level: int, rng: random.Random) -> Problem:
    name, items, second = rng.choice(NAMES), rng.choice(ITEMS), _number(1, rng)
    first = max(_number(level, rng), second)
    premise = f"{name} has {first} {items} and gives away {second} of them."
    return Problem(family, f"{premise} How many {items} are left?", first, (("-", second),))


def _both(family: str, level: int, rng: random.Random) -> Problem:
    (name, other), items = rng.sample(NAMES, 2), rng.choice(ITEMS)
    first, second = _number(level, rng), _number(level, rng)
    premise = f"{name} has {first} {items} and {other} has {second} {items}."
    return Problem(family, f"{premise} How many {items} do they have together?", first, (("+", second),))


def _more(family: str, level: int, rng: random.Random) -> Problem:
    (name, other), items = rng.sample(NAMES, 2), rng.choice(ITEMS)
    first, second = _falling(level, rng)
    premise = f"{name} has {first} {items} and {other} has {second}."
    return Problem(family, f"{premise} How many more {items} does {name} have?", first, (("-", second),))


def _bags(family: str, level: int, rng: random.Random) -> Problem:
    items, first, second = rng.choice(ITEMS), _number(level, rng), _number(1, rng)
    premise = f"There are {first} bags with {second} {items} in each bag."
    return Problem(family, f"{premise} How many {items} are there?", first, (("*", second),))


def _price(family: str, level: int, rng: random.Random) -> Problem:
    goods, first, second = rng.choice(GOODS), _number(level, rng), _number(1, rng)
    premise = f"One {goods} costs {first} dollars."
    return Problem(family, f"{premise} How many dollars do {second} {goods}s cost?", first, (("*", second),))


def _share(family: str, level: int, rng: random.Random) -> Problem:
    items, each, children = rng.choice(ITEMS), _number(level, rng), _number(1, rng)
    premise = f"{each * children} {items} are shared equally among {children} children."
    return Problem(family, f"{premise} How many {items} does each child get?", each * children, (("/", children),))


def _sells(family: str, level: int, rng: random.Random) -> Problem:
    name, items, first, bought = rng.choice(NAMES), rng.choice(ITEMS), _number(level, rng), _number(1, rng)
    sold = min(_number(1, rng), first)
    premise = f"{name} has {first} {items}, buys {bought} more and then sells {sold}."
    return Problem(family, f"{premise} How many {items} are left?", first, (("+", bought), ("-", sold)))


MAKERS: dict[str, Maker] = {
    "plus": _plus,
    "minus": _minus,
    "times": _times,
    "over": _over,
    "next": _next,
    "larger": _larger,
    "gets": _gets,
    "gives": _gives,
    "both": _both,
    "more": _more,
    "bags": _bags,
    "price": _price,
    "share": _share,
    "sells": _sells,
}
