"""Benchmarks, validation questions and pools of task families. They share no question.

Held-out questions are drawn first. Pools and the training data of the embedded policy exclude them by their text.
"""

from __future__ import annotations

import random

from dopr.config.data import Data, Pool
from dopr.data.arithmetic import Problem
from dopr.data.families import draw_distinct
from dopr.data.sources import sources_of
from dopr.records import Prompt, derive_seed

PromptsByFamily = dict[str, list[Prompt]]


def as_prompt(problem: Problem, name: str) -> Prompt:
    """Turn a problem into a prompt, which is the question and a line break."""
    return Prompt(name, problem.question + "\n", str(problem.answer), problem.family)


def held_out(data: Data) -> tuple[PromptsByFamily, PromptsByFamily]:
    """Draw distinct test and validation prompts of the benchmarks that are task families.

    Raises:
        ValueError: A family is unknown, or has too few questions.
    """
    test: PromptsByFamily = {}
    validation: PromptsByFamily = {}
    for family in families_of(data):
        rng = random.Random(derive_seed(data.seed, "held out", family))
        problems = draw_distinct(family, data.questions + data.validation_questions, rng, set())
        prompts = [as_prompt(problem, f"{family}-{i:03d}") for i, problem in enumerate(problems)]
        test[family], validation[family] = prompts[: data.questions], prompts[data.questions :]
    return test, validation


def families_of(data: Data) -> list[str]:
    """Return the benchmarks that are task families and not sources."""
    sources = sources_of(data)
    return [name for name in data.group_of if name not in sources]


def questions_of(*splits: PromptsByFamily) -> set[str]:
    """Return the questions of splits without the line break."""
    return {prompt.text.strip() for split in splits for prompts in split.values() for prompt in prompts}


def prompt_pool(name: str, pool: Pool, seed: int, excluded: set[str]) -> list[Prompt]:
    """Draw a shuffled pool of task families.

    The share `zero_signal` comes from the family that never earns a reward. The other families get the rest by their
    weights. Each takes its rounded share of what is left, so the counts add up to the size.

    Raises:
        DataError: A family has too few questions.
    """
    assert pool.size is not None  # Pool checks that a pool of families has one
    rng = random.Random(derive_seed(seed, "pool", name))
    unrewarded = round(pool.size * pool.zero_signal)
    counts = {pool.zero_signal_family: unrewarded}
    left, weights = pool.size - unrewarded, list(pool.families.values())
    for i, family in enumerate(pool.families):
        count = round(left * weights[i] / sum(weights[i:]))
        counts[family] = counts.get(family, 0) + count
        left -= count
    problems = [p for family, count in counts.items() for p in draw_distinct(family, count, rng, excluded)]
    rng.shuffle(problems)
    return [as_prompt(problem, f"{name}-{i:04d}") for i, problem in enumerate(problems)]
