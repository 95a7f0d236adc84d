"""Arithmetic in plain English: answers by an independent reading of the question, and what a level is."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

import pytest

from dopr.data.arithmetic import MAKERS as EMBEDDED
from dopr.data.arithmetic import Problem
from dopr.data.families import FAMILY, draw
from dopr.data.word_problems import MAKERS

LEVELS = (1, 2, 3)
FAMILIES = [f"{kind}{level}" for kind in MAKERS for level in LEVELS]

# What a person reads in a question -> what they answer, from the numbers in it.
READINGS: dict[str, Callable[..., int]] = {
    r"What is (\d+) \+ (\d+)\?": lambda a, b: a + b,
    r"What is (\d+) - (\d+)\?": lambda a, b: a - b,
    r"What is (\d+) times (\d+)\?": lambda a, b: sum([a] * b),
    r"What is (\d+) divided by (\d+)\?": lambda a, b: next(c for c in range(a + 1) if b * c == a),
    r"What number comes next: (\d+), (\d+), (\d+), (\d+)\?": lambda a, b, c, d: d + (b - a),
    r"Which number is larger, (\d+) or (\d+)\?": max,
    r"(\w+) has (\d+) (\w+) and gets (\d+) more\. How many \3 does \1 have now\?": lambda a, b: a + b,
    r"\w+ has (\d+) (\w+) and gives away (\d+) of them\. How many \2 are left\?": lambda a, b: a - b,
    r"\w+ has (\d+) (\w+) and \w+ has (\d+) \2\. How many \2 do they have together\?": lambda a, b: a + b,
    r"(\w+) has (\d+) (\w+) and \w+ has (\d+)\. How many more \3 does \1 have\?": lambda a, b: a - b,
    r"There are (\d+) bags with (\d+) (\w+) in each bag\. How many \3 are there\?": lambda a, b: sum([a] * b),
    r"One (\w+) costs (\d+) dollars\. How many dollars do (\d+) \1s cost\?": lambda a, b: sum([a] * b),
    r"(\d+) (\w+) are shared equally among (\d+) children\. How many \2 does each child get\?": (
        lambda a, b: next(c for c in range(a + 1) if b * c == a)
    ),
    r"\w+ has (\d+) (\w+), buys (\d+) more and then sells (\d+)\. How many \2 are left\?": lambda a, b, c: a + b - c,
}


def numbers(question: str) -> list[int]:
    return [int(number) for number in re.findall(r"\d+", question)]


def read_answer(question: str) -> int:
    (found,) = [answer for text, answer in READINGS.items() if re.fullmatch(text, question)]
    return found(*numbers(question))


def problems(family: str, count: int = 200) -> list[Problem]:
    rng = random.Random(family)
    return [draw(family, rng) for _ in range(count)]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_is_what_a_person_reads_in_the_question_and_never_negative(family: str) -> None:
    for problem in problems(family):
        assert problem.answer == read_answer(problem.question) >= 0, problem.question


@pytest.mark.parametrize("kind", MAKERS)
def test_a_level_is_the_size_of_the_first_number(kind: str) -> None:
    for level in LEVELS:
        first = [
            problem.answer if kind in ("over", "share") else problem.start for problem in problems(f"{kind}{level}")
        ]
        low, high = {1: (2, 12), 2: (13, 99), 3: (100, 999)}[level]
        slack = 18 if kind == "next" else 0  # the last number told stands for the first
        assert all(low <= number <= high + slack for number in first)
        assert len(set(first)) > 8


def test_two_that_are_compared_differ_and_either_may_stand_first() -> None:
    pairs = [numbers(problem.question) for problem in problems("larger2")]
    assert all(first != second for first, second in pairs)
    assert 60 < sum(first > second for first, second in pairs) < 140


def test_kinds_are_not_those_of_the_embedded_task_and_have_names_that_levels_can_follow() -> None:
    assert not MAKERS.keys() & EMBEDDED.keys()
    assert all(FAMILY.fullmatch(f"{kind}1") for kind in MAKERS)
