"""Everything the data job makes: test and validation questions, pools, and an account of where they come from.

Questions drawn from task families are distinct from everything (dopr.data.splits). Published data are what they are:
a benchmark's question that a pool holds too is counted, and taken out of the pool only if data.decontaminate says so.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from dopr.config.data import Data, Pool, Validation
from dopr.data.sources import Loaded, compared, load_source, mirror_of, source_named, sources_of
from dopr.data.splits import held_out, prompt_pool, questions_of
from dopr.data.templates import Template
from dopr.files import DataError
from dopr.records import Prompt, derive_seed


@dataclass
class Dataset:
    """Prompts as the policy reads them. places: file and row of those from sources, by id. account: origins, sizes, and
    benchmark questions that pools hold."""

    test: list[Prompt]
    validation: list[Prompt]
    pools: dict[str, list[Prompt]]
    places: dict[str, str]
    account: dict[str, Any]


@dataclass
class Sources:
    """The sources in use, each read once."""

    data: Data
    loaded: dict[str, Loaded] = field(default_factory=dict)

    def prompts(self, name: str) -> list[Prompt]:
        """All prompts of a source, yet to be written."""
        if name not in self.loaded:
            self.loaded[name] = load_source(name, source_named(self.data, name), mirror_of(self.data))
        return self.loaded[name].prompts

    def question(self, prompt: Prompt) -> str:
        """A prompt's question, as questions are compared."""
        known = sources_of(self.data)
        return compared(prompt, known[prompt.family].suffix if prompt.family in known else "")

    def questions(self, prompts: Iterable[Prompt]) -> set[str]:
        """The questions of some prompts."""
        return {self.question(prompt) for prompt in prompts}


def make_dataset(data: Data, template: Template) -> Dataset:
    """All splits of a configuration, written in a template.

    Raises:
        DataError: a source cannot be read, or holds fewer prompts than a pool asks for, or a prompt does not fit the
            template, or a task family has too few questions.
    """
    sources = Sources(data)
    drawn, drawn_validation = held_out(data)
    test = [p for name in data.group_of for p in (drawn[name] if name in drawn else sources.prompts(name))]
    validation = [prompt for prompts in drawn_validation.values() for prompt in prompts]
    pools = all_pools(sources, questions_of(drawn, drawn_validation))
    if data.validation:
        chosen = validate_on(data.validation, sources, pools, test)
        validation += chosen
        pools = taken_out(pools, sources, sources.questions(chosen))
    shared = overlap(pools, sources, test)
    if data.decontaminate:
        pools = taken_out(pools, sources, sources.questions(test))
    account = {
        "prompt": template.describe(),
        "sources": {name: loaded.origin for name, loaded in sources.loaded.items()},
        "benchmarks": dict(Counter(prompt.family for prompt in test)),
        "validation": dict(Counter(prompt.family for prompt in validation)),
        "pools": {name: {"prompts": len(pools[name]), "benchmark_questions": shared[name]} for name in pools},
    }
    places = {prompt: place for loaded in sources.loaded.values() for prompt, place in loaded.places.items()}
    written = {name: [template.apply(prompt) for prompt in prompts] for name, prompts in pools.items()}
    return Dataset([template.apply(p) for p in test], [template.apply(p) for p in validation], written, places, account)


def all_pools(sources: Sources, excluded: set[str]) -> dict[str, list[Prompt]]:
    """Every pool; those of task families hold none of the `excluded` questions."""
    data = sources.data
    return {
        name: choose(name, pool, sources.prompts(pool.source), data.seed)
        if pool.source
        else prompt_pool(name, pool, data.seed, excluded)
        for name, pool in data.pools.items()
    }


def overlap(pools: dict[str, list[Prompt]], sources: Sources, test: list[Prompt]) -> dict[str, dict[str, int]]:
    """How many prompts of each pool are questions of each benchmark, where any are."""
    benchmark = {sources.question(prompt): prompt.family for prompt in test}
    found = {name: [benchmark.get(sources.question(p)) for p in prompts] for name, prompts in pools.items()}
    return {name: dict(Counter(family for family in families if family)) for name, families in found.items()}


def taken_out(pools: dict[str, list[Prompt]], sources: Sources, questions: set[str]) -> dict[str, list[Prompt]]:
    """The pools without some questions; those of task families never had them.

    Raises:
        DataError: nothing is left of a pool.
    """
    left = {
        name: without(prompts, sources, questions) if sources.data.pools[name].source else prompts
        for name, prompts in pools.items()
    }
    empty = [name for name, prompts in left.items() if not prompts]
    if empty:
        raise DataError(f"data.pools.{empty[0]}: no prompt is left; data.validation or data.decontaminate took all")
    return left


def choose(name: str, pool: Pool, prompts: list[Prompt], seed: int) -> list[Prompt]:
    """The prompts of a source that a pool takes, in the source's order.

    Raises:
        DataError: the source has fewer.
    """
    most = max(pool.indices) + 1 if pool.indices else pool.size or 0
    if most > len(prompts):
        key = "indices" if pool.indices else "size"
        raise DataError(
            f"data.pools.{name}.{key}: source {pool.source} has {len(prompts)} prompts, no {most}; lower it"
        )
    if pool.indices:
        return [prompts[i] for i in sorted(set(pool.indices))]
    return sample(prompts, pool.size, seed, "pool", name)


def sample(prompts: list[Prompt], size: int | None, *parts: int | str) -> list[Prompt]:
    """`size` of them, drawn by a seed, in their order; all if it is None."""
    if size is None:
        return prompts
    places = random.Random(derive_seed(*parts)).sample(range(len(prompts)), size)
    return [prompts[i] for i in sorted(places)]


def validate_on(
    wanted: Validation, sources: Sources, pools: dict[str, list[Prompt]], test: list[Prompt]
) -> list[Prompt]:
    """Validation questions of a source that no benchmark, and no pool which names its prompts, holds.

    Raises:
        DataError: there are fewer than asked for.
    """
    data = sources.data
    named = [n for n, pool in data.pools.items() if pool.source and (pool.source != wanted.source or pool.indices)]
    taken = sources.questions(test) | {question for name in named for question in sources.questions(pools[name])}
    free = without(sources.prompts(wanted.source), sources, taken)
    if not free or (wanted.size or 0) > len(free):
        raise DataError(f"data.validation: source {wanted.source} has {len(free)} free prompts, {wanted.size} wanted")
    return sample(free, wanted.size, data.seed, "validation")


def without(prompts: list[Prompt], sources: Sources, questions: set[str]) -> list[Prompt]:
    """The prompts whose question is not among some."""
    return [prompt for prompt in prompts if sources.question(prompt) not in questions]
