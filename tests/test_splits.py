"""The splits: no held-out question is ever trained on, and pools are what the configuration asks for."""

from __future__ import annotations

import random
from collections import Counter
from itertools import islice

import pytest

from dopr.config.data import Pool
from dopr.data.splits import held_out, prompt_pool, questions_of
from dopr.records import derive_seed
from dopr.training.warm_start import examples

WARM_START_EXAMPLES = 20_000


@pytest.fixture(scope="module")
def splits(config):
    return held_out(config.data)


@pytest.fixture(scope="module")
def pools(config, splits):
    excluded = questions_of(*splits)
    return {name: prompt_pool(name, pool, config.data.seed, excluded) for name, pool in config.data.pools.items()}


def texts(prompts) -> set[str]:
    return {prompt.text for prompt in prompts}


def seen_in_warm_start(config, phase: str, excluded: set[str]) -> set[str]:
    shape = config.base.warm_start
    rng = random.Random(derive_seed(shape.seed, phase))
    return {prompt for prompt, _ in islice(examples(phase, shape, rng, excluded), WARM_START_EXAMPLES)}


def test_no_text_is_shared_between_test_validation_and_the_pools(splits, pools):
    test, validation = (texts(prompt for prompts in split.values() for prompt in prompts) for split in splits)
    assert not test & validation
    for prompts in pools.values():
        assert not texts(prompts) & (test | validation)


@pytest.mark.parametrize("phase", ["skill", "habits"])
def test_the_warm_start_sees_no_held_out_text_and_would_without_the_exclusion(config, splits, phase):
    excluded = questions_of(*splits)
    held = {question + "\n" for question in excluded}
    assert not seen_in_warm_start(config, phase, excluded) & held
    assert seen_in_warm_start(config, phase, set()) & held


def test_questions_are_compared_as_the_generator_writes_them(splits):
    test, validation = splits
    found = questions_of(test, validation)
    everything = [prompt for split in splits for prompts in split.values() for prompt in prompts]
    assert found == {prompt.text.removesuffix("\n") for prompt in everything}
    assert all(prompt.text.endswith("\n") for prompt in everything)


def test_the_zero_signal_share_is_the_configured_one_to_within_a_prompt(config, pools):
    for name, prompts in pools.items():
        pool = config.data.pools[name]
        dead = sum(prompt.family == pool.zero_signal_family for prompt in prompts)
        assert abs(dead - pool.zero_signal * pool.size) <= 1


def test_the_cross_domain_families_are_in_no_pool(config, pools):
    kinds = {family.rstrip("0123456789") for family in config.data.benchmarks["cross-domain"]}
    assert kinds
    for prompts in pools.values():
        assert not {prompt.family.rstrip("0123456789") for prompt in prompts} & kinds


def test_every_split_has_its_size_and_ids_of_its_own(config, splits, pools):
    test, validation = splits
    assert list(test) == list(validation) == list(config.data.group_of)
    assert {len(prompts) for prompts in test.values()} == {config.data.questions}
    assert {len(prompts) for prompts in validation.values()} == {config.data.validation_questions}
    for name, prompts in pools.items():
        assert len(prompts) == len(texts(prompts)) == config.data.pools[name].size
    lists = [*test.values(), *validation.values(), *pools.values()]
    ids = [prompt.id for prompts in lists for prompt in prompts]
    assert len(ids) == len(set(ids))


def test_a_benchmark_holds_questions_of_its_family(splits):
    for split in splits:
        for name, prompts in split.items():
            assert {prompt.family for prompt in prompts} == {name}


def test_splits_depend_on_the_seed_alone(config, splits, pools):
    assert held_out(config.data) == splits
    excluded = questions_of(*splits)
    for name, pool in config.data.pools.items():
        assert prompt_pool(name, pool, config.data.seed, excluded) == pools[name]
        assert prompt_pool(name, pool, config.data.seed + 1, excluded) != pools[name]
    assert held_out(config.data.model_copy(update={"seed": config.data.seed + 1})) != splits


def test_another_benchmark_leaves_the_questions_of_the_others_alone(config, splits):
    more = config.data.model_copy(update={"benchmarks": {"new": ["word1"], **config.data.benchmarks}})
    test, _ = held_out(more)
    assert {name: prompts for name, prompts in test.items() if name != "word1"} == splits[0]


def test_a_pool_divides_its_prompts_by_weight():
    # 2 of 10 carry no signal; the other 8 are split 1 to 3.
    pool = Pool(size=10, zero_signal=0.2, families={"chain2": 1, "mul2": 3})
    assert Counter(prompt.family for prompt in prompt_pool("p", pool, 0, set())) == {"big1": 2, "chain2": 2, "mul2": 6}


def test_weights_that_do_not_divide_evenly_still_fill_the_pool():
    pool = Pool(size=11, zero_signal=0, families={"chain2": 1, "mul2": 1, "eq1": 1})
    counts = Counter(prompt.family for prompt in prompt_pool("p", pool, 0, set()))
    assert counts.total() == 11
    assert set(counts.values()) == {3, 4}


def test_pools_are_shuffled():
    pool = Pool(size=40, zero_signal=0.5, families={"chain2": 1})
    families = [prompt.family for prompt in prompt_pool("p", pool, 0, set())]
    assert 5 <= families[:20].count("big1") <= 15


def test_a_weight_far_above_the_others_takes_all_but_fails_nothing() -> None:
    """1e6 - 1e-12 is 1e6 in floating point: a running difference of the weights would end at 0."""
    pool = Pool(size=10, families={"chain2": 1e6, "mul2": 1e-12})
    assert Counter(prompt.family for prompt in prompt_pool("p", pool, 0, set())) == {"chain2": 10}
