"""The output of the data job: test questions, validation questions, pools, and an account of their origin.

Questions that are drawn from task families never repeat (dopr.data.splits). Published data sets may overlap: benchmark
questions in a pool are counted, and data.decontaminate removes them from the pool. From pools that reasoning-gym
generates they are always removed.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dopr.config.data import Data, Pool, Validation
from dopr.data.sources import Loaded, comparable_question, load_source, mirror_of, source_named, sources_of
from dopr.data.splits import held_out, prompt_pool, questions_of
from dopr.data.templates import Template
from dopr.files import DataError
from dopr.records import Prompt, derive_seed


@dataclass
class Dataset:
    """Prompts as the policy reads them.

    Attributes:
        test, validation: Held-out questions.
        pools: Pool name -> its prompts.
        locations: Prompt id -> file and row, for prompts from sources.
        account: Origins, sizes, and the number of benchmark questions in each pool.
    """

    test: list[Prompt]
    validation: list[Prompt]
    pools: dict[str, list[Prompt]]
    locations: dict[str, str]
    account: dict[str, Any]


@dataclass
class Sources:
    """The sources in use. Each is read once."""

    data: Data
    loaded: dict[str, Loaded] = field(default_factory=dict)

    def prompts(self, name: str) -> list[Prompt]:
        """Return all prompts of a source, before a template is applied."""
        if name not in self.loaded:
            self.loaded[name] = load_source(name, source_named(self.data, name), mirror_of(self.data))
        return self.loaded[name].prompts

    def question(self, prompt: Prompt) -> str:
        """Return a prompt's question in the form that questions are compared in."""
        known = sources_of(self.data)
        return comparable_question(prompt, known[prompt.family].suffix if prompt.family in known else "")

    def questions(self, prompts: Iterable[Prompt]) -> set[str]:
        """Return the questions of prompts in the form that questions are compared in."""
        return {self.question(prompt) for prompt in prompts}


def make_dataset(data: Data, template: Template) -> Dataset:
    """Make all splits of a configuration, with the template applied.

    Raises:
        DataError: A source cannot be read or has fewer prompts than a pool needs, a prompt does not fit the template,
            or a task family has too few questions.
    """
    sources = Sources(data)
    family_test, family_validation = held_out(data)
    test = [p for name in data.group_of for p in (family_test[name] if name in family_test else sources.prompts(name))]
    validation = [prompt for prompts in family_validation.values() for prompt in prompts]
    pools = all_pools(sources, questions_of(family_test, family_validation))
    if data.validation:
        from_source = validation_from_source(data.validation, sources, pools, test)
        validation += from_source
        pools = remove_questions(pools, sources, sources.questions(from_source))
    pools = remove_questions(pools, sources, sources.questions(test), generated_only=True)
    shared = overlap(pools, sources, test)
    if data.decontaminate:
        pools = remove_questions(pools, sources, sources.questions(test))
    account = {
        "prompt": template.describe(),
        "sources": {name: loaded.origin for name, loaded in sources.loaded.items()},
        "benchmarks": dict(Counter(prompt.family for prompt in test)),
        "validation": dict(Counter(prompt.family for prompt in validation)),
        "pools": {name: {"prompts": len(pools[name]), "benchmark_questions": shared[name]} for name in pools},
    }
    return Dataset(
        [template.apply(prompt) for prompt in test],
        [template.apply(prompt) for prompt in validation],
        {name: [template.apply(prompt) for prompt in prompts] for name, prompts in pools.items()},
        {prompt: location for loaded in sources.loaded.values() for prompt, location in loaded.locations.items()},
        account,
    )


def all_pools(sources: Sources, excluded: set[str]) -> dict[str, list[Prompt]]:
    """Make every pool. Pools of task families have none of the `excluded` questions."""
    data = sources.data
    return {
        name: choose(name, pool, sources.prompts(pool.source), data.seed)
        if pool.source
        else prompt_pool(name, pool, data.seed, excluded)
        for name, pool in data.pools.items()
    }


def overlap(pools: dict[str, list[Prompt]], sources: Sources, test: list[Prompt]) -> dict[str, dict[str, int]]:
    """Count the questions of each benchmark in each pool."""
    benchmark = {sources.question(prompt): prompt.family for prompt in test}
    matches = {name: [benchmark.get(sources.question(p)) for p in prompts] for name, prompts in pools.items()}
    return {name: dict(Counter(family for family in families if family)) for name, families in matches.items()}


def remove_questions(
    pools: dict[str, list[Prompt]], sources: Sources, questions: set[str], generated_only: bool = False
) -> dict[str, list[Prompt]]:
    """Remove questions from the pools of sources; pools of task families never have them.

    Args:
        generated_only: Change only pools that are generated: a published set stays as it is.

    Raises:
        DataError: No prompt is left in a pool.
    """

    def loses(source: str | None) -> bool:
        return source is not None and not (generated_only and source_named(sources.data, source).reasoning_gym is None)

    kept = {
        name: without(prompts, sources, questions) if loses(sources.data.pools[name].source) else prompts
        for name, prompts in pools.items()
    }
    empty = [name for name, prompts in kept.items() if not prompts]
    if empty:
        raise DataError(
            f"data.pools.{empty[0]}: no prompt is left; all are questions of data.validation or of a benchmark (a "
            "source of reasoning_gym needs another seed for these)"
        )
    return kept


def choose(name: str, pool: Pool, prompts: list[Prompt], seed: int) -> list[Prompt]:
    """Choose a pool's prompts from those of a source, in the source's order.

    Raises:
        DataError: The source has too few.
    """
    needed = max(pool.indices) + 1 if pool.indices else pool.size or 0
    if needed > len(prompts):
        key = "indices" if pool.indices else "size"
        raise DataError(
            f"data.pools.{name}.{key}: source {pool.source} has {len(prompts)} prompts, no {needed}; lower it"
        )
    if pool.indices:
        return [prompts[index] for index in sorted(set(pool.indices))]
    return sample(prompts, pool.size, seed, "pool", name)


def sample(prompts: list[Prompt], size: int | None, *seed: int | str) -> list[Prompt]:
    """Draw `size` prompts and keep their order; None takes all."""
    if size is None:
        return prompts
    indices = random.Random(derive_seed(*seed)).sample(range(len(prompts)), size)
    return [prompts[index] for index in sorted(indices)]


def validation_from_source(
    validation: Validation, sources: Sources, pools: dict[str, list[Prompt]], test: list[Prompt]
) -> list[Prompt]:
    """Draw validation questions that are in no benchmark, and in no pool of another source or with `indices`.

    Raises:
        DataError: There are too few.
    """
    data = sources.data
    fixed = [n for n, pool in data.pools.items() if pool.source and (pool.source != validation.source or pool.indices)]
    taken = sources.questions(test) | {question for name in fixed for question in sources.questions(pools[name])}
    free = without(sources.prompts(validation.source), sources, taken)
    if not free or (validation.size or 0) > len(free):
        raise DataError(
            f"data.validation: source {validation.source} has {len(free)} free prompts, {validation.size} wanted"
        )
    return sample(free, validation.size, data.seed, "validation")


def without(prompts: list[Prompt], sources: Sources, questions: set[str]) -> list[Prompt]:
    """Return the prompts whose question is not in `questions`."""
    return [prompt for prompt in prompts if sources.question(prompt) not in questions]
