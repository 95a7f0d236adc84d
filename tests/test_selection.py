"""Selectors: choices worked out by hand, and what every selector promises."""

from __future__ import annotations

import importlib
import inspect
import json
from collections import Counter
from collections.abc import Iterable

import pytest

from dopr.errors import RewardError
from dopr.profiling.simulate import SimulatedStep, simulate
from dopr.selection.parts.drawing import OptionError
from dopr.selection.selector import (
    GroupResult,
    RolloutRequest,
    Setup,
    built_in,
    check_options,
    make_selector,
    module_of,
    uses_history,
)

NAMES = built_in()
POOL = tuple(f"p{i}" for i in range(12))
HISTORY = {prompt: (0.0, i / 12, 0.5) for i, prompt in enumerate(POOL)}


NEEDED = {"fixed": {"prompts": ["p3", "p8"]}, "speed": {"screening": 2}}
ALWAYS = {"fixed", "lim", "one_shot"}  # the same choices for every seed


def selector(name: str, pool: str | tuple[str, ...] = POOL, seed: int = 0, count: int = 1, history=None, **options):
    return make_selector(name, Setup(tuple(pool), seed, count, 4, history=history or {}), options)


def default(name: str, seed: int = 0, count: int = 1):
    """With fewer candidates than prompts, for the selectors that have candidates."""
    few = {"candidates": 3} if "candidates" in inspect.signature(module(name).Selector).parameters else {}
    return selector(name, seed=seed, count=count, history=HISTORY, **few, **NEEDED.get(name, {}))


def module(name: str):
    return importlib.import_module(module_of(name))


def rewards_of(step: int, request: RolloutRequest) -> tuple[float, ...]:
    """Made-up rewards, which depend on the step and the prompt."""
    correct = (3 * step + 7 * int(request.prompt[1:])) % (request.rollouts + 1)
    return (1.0,) * correct + (0.0,) * (request.rollouts - correct)


# --- every selector ---


def plain(steps: Iterable[SimulatedStep]) -> list:
    """Simulated steps as values that can be compared; a group is its position, its prompt and its rewards."""
    found = []
    for step in steps:
        groups = [(group.prompt, group.rewards) for group in step.groups]
        decision = [[step.groups.index(group) for group in part] for part in (step.decision.train, step.decision.hold)]
        requests = [(request.prompt, request.rollouts, request.group is None) for request in step.requests]
        found.append((requests, groups, decision))
    return found


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 3])
def test_equal_seeds_and_observations_give_equal_choices(name, count):
    first, second = (list(simulate(default(name, count=count), range(25), rewards_of)) for _ in range(2))
    assert plain(first) == plain(second)
    assert all(request.prompt in POOL for played in first for request in played.requests)


@pytest.mark.parametrize("name", NAMES)
def test_another_seed_gives_other_choices_unless_they_are_fixed(name):
    runs = [plain(simulate(default(name, seed=seed), range(25), rewards_of)) for seed in (0, 1)]
    assert (runs[0] == runs[1]) == (name in ALWAYS)


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 2])
def test_what_a_step_costs_does_not_depend_on_rewards(name, count):
    def cost(draw) -> list[int]:
        return [
            sum(request.rollouts for request in played.requests)
            for played in simulate(default(name, count=count), range(30), draw)
        ]

    costs = [
        cost(rewards_of),
        cost(lambda step, request: (0.0,) * request.rollouts),
        cost(lambda step, request: informative(request)),
    ]
    assert costs[0] == costs[1] == costs[2] == [4 * count] * 30


def informative(request: RolloutRequest) -> tuple[float, ...]:
    return tuple(float(i % 2) for i in range(request.rollouts))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stop", [1, 10])
def test_a_restored_selector_goes_on_as_if_never_stopped(name, stop):
    whole = list(simulate(default(name, count=2), range(30), rewards_of))
    stopped = default(name, count=2)
    before = list(simulate(stopped, range(stop), rewards_of))
    state, held = json.loads(json.dumps(stopped.state_dict())), before[-1].decision.hold
    list(simulate(stopped, range(stop, 20), rewards_of, held))  # must not reach into what was saved
    resumed = default(name, count=2)
    resumed.load_state_dict(state)
    after = simulate(resumed, range(stop, 30), rewards_of, held)
    assert plain([*before, *after]) == plain(whole)


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_numbers_under_the_same_names_at_every_step(name):
    chooser = default(name)
    names = set()
    for _ in simulate(chooser, range(5), rewards_of):
        names.add(tuple(chooser.metrics()))
        assert all(isinstance(value, float) for value in chooser.metrics().values())
    assert len(names) == 1


@pytest.mark.parametrize("rewards", [(1.0, float("nan")), (float("inf"),), ()])
def test_rewards_that_are_no_numbers_are_refused(rewards):
    with pytest.raises(RewardError, match=r"prompt p1: rewards .* are not all finite numbers"):
        GroupResult("p1", rewards)


@pytest.mark.parametrize("name", ["dopr", "max_variance", "mopps", "ucb"])
def test_a_choice_that_cannot_be_made_is_refused(name):
    with pytest.raises(OptionError, match=f"{name}: 2 candidates are fewer than the 3 prompts of a step"):
        selector(name, count=3, candidates=2)
    with pytest.raises(OptionError, match=f"{name}: 13 prompts a step are more than the 12 of the pool"):
        selector(name, count=13)


# --- uniform ---


def test_uniform_visits_every_prompt_once_an_epoch_in_a_new_order_even_when_epochs_end_within_a_step():
    chooser = selector("uniform", pool=POOL[:10], count=3)
    prompts = [prompt for step in range(10) for prompt in chooser.select(step)]
    epochs = [prompts[:10], prompts[10:20], prompts[20:]]
    assert all(sorted(epoch) == sorted(POOL[:10]) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != list(POOL[:10])


def test_uniform_covers_a_small_pool_several_times_in_one_step():
    assert Counter(selector("uniform", pool="ab", count=6).select(0)) == {"a": 3, "b": 3}


# --- random_one ---


def test_random_one_is_uniform_over_the_pool_and_ignores_rewards():
    chooser = selector("random_one", pool=POOL[:5])
    counts = Counter(played.requests[0].prompt for played in simulate(chooser, range(2000), lambda *_: (0.0,)))
    assert set(counts) == set(POOL[:5])
    # 400 expected each; 4 standard deviations are 4 * sqrt(2000 * 0.2 * 0.8) = 72.
    assert all(328 <= count <= 472 for count in counts.values())
    assert chooser.select(7) == selector("random_one", pool=POOL[:5]).select(7)
    with pytest.raises(OptionError, match="6 prompts a step are more than the 5 of the pool"):
        selector("random_one", pool=POOL[:5], count=6)


def test_random_one_draws_distinct_prompts_within_a_step():
    chooser = selector("random_one", count=4)
    assert all(len(set(chooser.select(step))) == 4 for step in range(50))


# --- one_shot ---

RANKED = {"a": (0.5, 0.5), "b": (0.0, 1.0), "c": (0.25, 0.75), "d": (), "e": (0.5, 0.75)}  # b, c, e, a


def test_one_shot_repeats_the_top_prompt_as_copies():
    chooser = selector("one_shot", pool="abcde", count=16, history=RANKED)
    assert [chooser.select(step) for step in (0, 1, 9)] == [["b"] * 16] * 3


def test_one_shot_takes_its_top_prompts_in_turn():
    chooser = selector("one_shot", pool="abcde", count=2, history=RANKED, top=3)
    assert [chooser.select(step) for step in range(4)] == [["b", "c"], ["e", "b"], ["c", "e"], ["b", "c"]]


def test_one_shot_refuses_more_prompts_than_have_a_history():
    assert len(set(selector("one_shot", pool="abcde", count=4, history=RANKED, top=4).select(0))) == 4
    with pytest.raises(ValueError, match="top 5 asked for, but only 4 prompts have a history"):
        selector("one_shot", pool="abcde", history=RANKED, top=5)


# --- max_variance ---


def test_max_variance_visits_every_prompt_first_and_then_the_highest_last_variance():
    chooser = selector("max_variance", pool="abc", candidates=3)
    told = {"a": [1, 0, 0, 0], "b": [1, 1, 1, 0], "c": [0, 0, 0, 0]}  # variances 3/16, 3/16, 0
    first = []
    for step in range(3):
        first += chooser.select(step)
        chooser.observe(step, GroupResult(first[-1], tuple(told[first[-1]])))
    assert sorted(first) == ["a", "b", "c"]
    chooser.observe(3, GroupResult("b", (1, 1, 0, 0)))  # 1/4: now b alone is highest
    assert [chooser.select(step) for step in range(4, 9)] == [["b"]] * 5
    chooser.observe(9, GroupResult("b", (1, 1, 1, 1)))  # only the last group counts
    assert [chooser.select(step) for step in range(10, 15)] == [["a"]] * 5


def test_max_variance_takes_the_best_several():
    chooser = selector("max_variance", pool="abcd", count=2, candidates=4)
    for prompt, correct in {"a": 0, "b": 1, "c": 2, "d": 4}.items():
        chooser.observe(0, GroupResult(prompt, tuple([1.0] * correct + [0.0] * (4 - correct))))
    assert chooser.select(1) == ["c", "b"]


def test_ties_go_to_the_candidate_drawn_first_and_not_to_file_order():
    chooser = selector("max_variance", candidates=12)
    firsts = Counter(chooser.select(step)[0] for step in range(200))
    assert len(firsts) == 12


# --- the registry ---


def test_every_selector_is_found_by_the_name_of_its_file():
    assert {"dopr", "max_variance", "one_shot", "random_one", "uniform"} <= set(NAMES)
    assert not {"selector", "parts"} & set(NAMES)
    assert [module_of(name) for name in NAMES] == [f"dopr.selection.{name}" for name in NAMES]


@pytest.mark.parametrize("name", ["dorp", "selector", "parts", "../train", "a.b", ""])
def test_a_selector_that_does_not_exist_is_named_with_the_file_that_is_missing(name):
    with pytest.raises(
        ValueError,
        match=r"does not exist: it is neither src/dopr/selection/.*, nor an entry point of .*, nor FILE\.py:NAME",
    ):
        module_of(name)


def test_an_unknown_option_is_named_with_the_nearest_known_one():
    check_options("dopr", {"candidates": 4, "window": 2})
    with pytest.raises(ValueError, match="selector dopr has no option 'windw'; did you mean 'window'"):
        check_options("dopr", {"windw": 2})
    with pytest.raises(ValueError, match="selector uniform has no option 'top'; known are none"):
        check_options("uniform", {"top": 1})
    for internal in ("setup", "visits"):
        with pytest.raises(ValueError, match=f"no option '{internal}'"):
            check_options("dopr", {internal: 1})


def test_a_selector_is_made_with_options_of_its_types():
    selector = make_selector("dopr", Setup(("a", "b"), 0, 1), {"exploration": "5e-1", "entropy": [0, "1"]})
    assert (selector.exploration, selector.entropy) == (0.5, (0.0, 1.0))
    with pytest.raises(ValueError, match=r"options.exploration: 'much' is refused: input should be a valid number"):
        make_selector("dopr", Setup(("a", "b"), 0, 1), {"exploration": "much"})
    with pytest.raises(ValueError, match=r"options.exploration: true is refused: it is no number"):
        check_options("dopr", {"exploration": True})


def test_the_profile_counts_for_the_selectors_that_read_it():
    readers = {name for name in NAMES if uses_history(name, {})}
    assert readers == {"one_shot", "dopr", "lim"}
    assert not uses_history("dopr", {"prior_rollouts": 0})
    assert uses_history("dopr", {"prior_rollouts": 2})
    assert uses_history("one_shot", {"top": 4})
