"""Benchmarks, validation questions and prompt pools, with no question shared between them.

Held-out questions are drawn first and excluded, by text, from the pools and from everything the warm start sees.
"""

from __future__ import annotations

import random

from dopr.config.data import Data, Pool
from dopr.data.arithmetic import Problem
from dopr.data.families import draw_distinct
from dopr.data.sources import sources_of
from dopr.records import Prompt, derive_seed

Held = dict[str, list[Prompt]]


def as_prompt(problem: Problem, name: str) -> Prompt:
    """The policy reads the question and a line break."""
    return Prompt(name, problem.question + "\n", str(problem.answer), problem.family)


def held_out(data: Data) -> tuple[Held, Held]:
    """Test and validation prompts of the benchmarks that are task families; distinct from each other.

    Raises:
        ValueError: a benchmark of an unknown family, or one with too few questions.
    """
    test: Held = {}
    validation: Held = {}
    for family in families_of(data):
        rng = random.Random(derive_seed(data.seed, "held out", family))
        problems = draw_distinct(family, data.questions + data.validation_questions, rng, set())
        prompts = [as_prompt(problem, f"{family}-{i:03d}") for i, problem in enumerate(problems)]
        test[family], validation[family] = prompts[: data.questions], prompts[data.questions :]
    return test, validation


def families_of(data: Data) -> list[str]:
    """The benchmarks that are task families, and no sources."""
    sources = sources_of(data)
    return [name for name in data.group_of if name not in sources]


def questions_of(*splits: Held) -> set[str]:
    """The questions (without the line break) of some splits, to exclude elsewhere."""
    return {prompt.text.strip() for split in splits for prompts in split.values() for prompt in prompts}


def prompt_pool(name: str, pool: Pool, seed: int, excluded: set[str]) -> list[Prompt]:
    """A shuffled pool of families: the zero-signal share first, the rest by their weights, rounded down in turn.

    Raises:
        DataError: A family has too few questions.
    """
    assert pool.size is not None  # a pool of families has one
    rng = random.Random(derive_seed(seed, "pool", name))
    dead = round(pool.size * pool.zero_signal)
    counts = {pool.zero_signal_family: dead}
    left, weight_left = pool.size - dead, sum(pool.families.values())
    for family, weight in pool.families.items():
        counts[family] = counts.get(family, 0) + round(left * weight / weight_left)
        left -= round(left * weight / weight_left)
        weight_left -= weight
    problems = [p for family, count in counts.items() for p in draw_distinct(family, count, rng, excluded)]
    rng.shuffle(problems)
    return [as_prompt(problem, f"{name}-{i:04d}") for i, problem in enumerate(problems)]
