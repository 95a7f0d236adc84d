"""Selectors: choices worked out by hand, and what every selector promises."""

from __future__ import annotations

import json
import pkgutil
from collections import Counter

import pytest

import dopr.selection
from dopr.selection.selector import Outcome, Setup, check_options, make_selector, module_of, uses_history

NAMES = sorted(module.name for module in pkgutil.iter_modules(dopr.selection.__path__) if module.name != "selector")
POOL = tuple(f"p{i}" for i in range(12))
HISTORY = {prompt: (0.0, i / 12, 0.5) for i, prompt in enumerate(POOL)}


def selector(name: str, pool: str | tuple[str, ...] = POOL, seed: int = 0, count: int = 1, history=None, **options):
    return make_selector(name, Setup(tuple(pool), seed, count, history=history or {}), options)


def rewards_of(step: int, prompt: str) -> list[float]:
    """A made-up group whose rewards depend on the step and the prompt."""
    correct = (3 * step + 7 * int(prompt[1:])) % 5
    return [1.0] * correct + [0.0] * (4 - correct)


def play(chooser, steps: range) -> list[list[str]]:
    """The choices of a selector that is told the made-up rewards."""
    choices = []
    for step in steps:
        choices.append(chooser.select(step))
        for prompt in choices[-1]:
            chooser.observe(step, Outcome(prompt, tuple(rewards_of(step, prompt))))
    return choices


# --- every selector ---


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("count", [1, 3])
def test_equal_seeds_and_observations_give_equal_choices(name, count):
    first, second = (play(selector(name, count=count, history=HISTORY), range(25)) for _ in range(2))
    assert first == second
    assert all(len(choice) == count and set(choice) <= set(POOL) for choice in first)


@pytest.mark.parametrize("name", [name for name in NAMES if name != "one_shot"])
def test_another_seed_gives_other_choices(name):
    runs = [play(selector(name, seed=seed, history=HISTORY, **few(name)), range(25)) for seed in (0, 1)]
    assert runs[0] != runs[1]


def few(name: str) -> dict:
    """Fewer candidates than prompts, for the selectors that have candidates."""
    try:
        check_options(name, {"candidates": 3})
    except ValueError:
        return {}
    return {"candidates": 3}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("stop", [1, 10])
def test_a_restored_selector_goes_on_as_if_never_stopped(name, stop):
    whole = play(selector(name, count=2, history=HISTORY, **few(name)), range(30))
    stopped = selector(name, count=2, history=HISTORY, **few(name))
    before = play(stopped, range(stop))
    resumed = selector(name, count=2, history=HISTORY, **few(name))
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    play(stopped, range(stop, 20))  # must not reach into what was saved
    assert before + play(resumed, range(stop, 30)) == whole


@pytest.mark.parametrize("name", NAMES)
def test_metrics_are_numbers_under_the_same_names_at_every_step(name):
    chooser = selector(name, history=HISTORY)
    names = set()
    for step in range(3):
        play(chooser, range(step, step + 1))
        names.add(tuple(chooser.metrics()))
        assert all(isinstance(value, float) for value in chooser.metrics().values())
    assert len(names) == 1


# --- uniform ---


def test_uniform_visits_every_prompt_once_an_epoch_in_a_new_order_even_when_epochs_end_within_a_step():
    chooser = selector("uniform", pool=POOL[:10], count=3)
    places = [prompt for step in range(10) for prompt in chooser.select(step)]
    epochs = [places[:10], places[10:20], places[20:]]
    assert all(sorted(epoch) == sorted(POOL[:10]) for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2] != list(POOL[:10])


def test_uniform_covers_a_small_pool_several_times_in_one_step():
    assert Counter(selector("uniform", pool="ab", count=6).select(0)) == {"a": 3, "b": 3}


# --- random_one ---


def test_random_one_is_uniform_over_the_pool_and_ignores_rewards():
    chooser = selector("random_one", pool=POOL[:5])
    counts = Counter(choice[0] for choice in play(chooser, range(2000)))
    assert set(counts) == set(POOL[:5])
    # 400 expected each; 4 standard deviations are 4 * sqrt(2000 * 0.2 * 0.8) = 72.
    assert all(328 <= count <= 472 for count in counts.values())
    assert chooser.select(7) == selector("random_one", pool=POOL[:5]).select(7)


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


# --- max_variance_one ---


def test_max_variance_one_visits_every_prompt_first_and_then_the_highest_last_variance():
    chooser = selector("max_variance_one", pool="abc", candidates=3)
    told = {"a": [1, 0, 0, 0], "b": [1, 1, 1, 0], "c": [0, 0, 0, 0]}  # variances 3/16, 3/16, 0
    first = []
    for step in range(3):
        first += chooser.select(step)
        chooser.observe(step, Outcome(first[-1], tuple(told[first[-1]])))
    assert sorted(first) == ["a", "b", "c"]
    chooser.observe(3, Outcome("b", (1, 1, 0, 0)))  # 1/4: now b alone is highest
    assert [chooser.select(step) for step in range(4, 9)] == [["b"]] * 5
    chooser.observe(9, Outcome("b", (1, 1, 1, 1)))  # only the last group counts
    assert [chooser.select(step) for step in range(10, 15)] == [["a"]] * 5


def test_max_variance_one_takes_the_best_several():
    chooser = selector("max_variance_one", pool="abcd", count=2, candidates=4)
    for prompt, correct in {"a": 0, "b": 1, "c": 2, "d": 4}.items():
        chooser.observe(0, Outcome(prompt, tuple([1.0] * correct + [0.0] * (4 - correct))))
    assert chooser.select(1) == ["c", "b"]


def test_ties_go_to_the_candidate_drawn_first_and_not_to_file_order():
    chooser = selector("max_variance_one", candidates=12)
    firsts = Counter(chooser.select(step)[0] for step in range(200))
    assert len(firsts) == 12


# --- dopr ---


def test_dopr_by_hand():
    """Three prompts, all of them candidates; exploration 1/2, window 2, and 4 pseudo-rewards at the profile's mean.

    V = sqrt(p (1 - p)) with p over the window and the prior; E = 1/2 sqrt(ln(t + 1) / (n + 1)); V + E:

    t  rewards seen before          a                        b                        c                chosen
    0                               .5000 + 0                .4330 + 0                0 + 0            a
    1  a 1111: p = (2 + 4) / 8      .4330 + .2943 = .7274    .4330 + .4163 = .8493    0 + .4163        b
    2  b 0000: p = (1 + 0) / 8      .4330 + .3706 = .8036    .3307 + .3706 = .7013    0 + .5241        a
    3  a 0101: p = (2 + 6) / 12     .4714 + .3399 = .8113    .3307 + .4163 = .7470    0 + .5887        a
    4  a 1111: the first leaves     .4714 + .3172 = .7886    .3307 + .4485 = .7792    0 + .6343        a
    5  a 1111: p = (2 + 8) / 12     .3727 + .2993 = .6720    .3307 + .4733 = .8040    0 + .6693        b

    With an unbounded window p would be (2 + 10) / 16 for a at step 4, its score .7502, and b chosen.
    """
    history = {"a": (0.5,), "b": (0.0, 0.5), "c": (0.0, 0.0)}
    options = {"candidates": 3, "exploration": 0.5, "window": 2, "prior_rollouts": 4}
    chooser = selector("dopr", pool="abc", history=history, **options)
    told = [("a", "1111"), ("b", "0000"), ("a", "0101"), ("a", "1111"), ("a", "1111"), ("b", "0000")]
    scores = {
        1: (0.7274, 0.8493, 0.4163),
        2: (0.8036, 0.7013, 0.5241),
        3: (0.8113, 0.7470, 0.5887),
        4: (0.7886, 0.7792, 0.6343),
        5: (0.6720, 0.8040, 0.6693),
    }
    for step, (prompt, rewards) in enumerate(told):
        if step in scores:
            assert [chooser.score(name, step) for name in "abc"] == pytest.approx(scores[step], abs=1e-4)
        assert chooser.select(step) == [prompt], step
        chooser.observe(step, Outcome(prompt, tuple([float(reward) for reward in rewards])))
    assert chooser.metrics() == pytest.approx({"volatility": 0.3307, "exploration": 0.4733}, abs=1e-4)


def test_dopr_without_any_history_takes_the_highest_volatility_there_can_be():
    chooser = selector("dopr", pool="ab", prior_rollouts=8)
    assert chooser.volatility("a") == 0.5
    chooser.observe(0, Outcome("a", (1, 1, 1, 1)))
    assert (chooser.volatility("a"), chooser.volatility("b")) == (0, 0.5)


def test_dopr_counts_a_prompt_that_the_profile_never_visited_as_unknown():
    assert selector("dopr", pool="ab", history={"a": (), "b": (0.0,)}).volatility("a") == 0.5
    assert selector("dopr", pool="ab", history={"a": (), "b": (0.0,)}).volatility("b") == 0


def test_dopr_without_a_prior_ignores_the_profile():
    history = {"a": (0.0,), "b": (0.5,)}
    assert selector("dopr", pool="ab", history=history, prior_rollouts=0).volatility("a") == 0.5


def test_dopr_without_exploration_is_greedy_and_with_much_of_it_takes_turns():
    history = {"a": (0.5,), "b": (0.25,), "c": (0.125,)}
    greedy = selector("dopr", pool="abc", history=history, candidates=3, exploration=0)
    assert [greedy.select(step) for step in range(5)] == [["a"]] * 5
    curious = selector("dopr", pool="abc", history=history, candidates=3, exploration=100)
    visits = Counter()
    for step in range(1, 31):
        (prompt,) = curious.select(step)
        visits[prompt] += 1
        curious.observe(step, Outcome(prompt, (0, 1)))
    assert visits == {"a": 10, "b": 10, "c": 10}


def test_dopr_takes_the_best_several_of_its_candidates():
    history = {"a": (0.25,), "b": (0.5,), "c": (0.0,), "d": (0.125,)}
    assert selector("dopr", pool="abcd", count=3, history=history, candidates=4).select(0) == ["b", "a", "d"]


def test_dopr_with_one_candidate_is_a_random_choice():
    history = {"a": (0.5,), "b": (0.0,), "c": (0.0,)}
    chooser = selector("dopr", pool="abc", history=history, candidates=1)
    assert set(Counter(chooser.select(step)[0] for step in range(60))) == {"a", "b", "c"}


# --- the registry ---


def test_every_selector_is_found_by_the_name_of_its_file():
    assert {"dopr", "max_variance_one", "one_shot", "random_one", "uniform"} <= set(NAMES)
    assert [module_of(name) for name in NAMES] == [f"dopr.selection.{name}" for name in NAMES]


@pytest.mark.parametrize("name", ["dorp", "selector", "../train", "a.b", ""])
def test_a_selector_that_does_not_exist_is_named_with_the_file_that_is_missing(name):
    with pytest.raises(ValueError, match="does not exist: there is no src/dopr/selection/"):
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


def test_the_profile_counts_for_the_selectors_that_read_it():
    readers = {name for name in NAMES if uses_history(name, {})}
    assert readers >= {"one_shot", "dopr"}
    assert not readers & {"uniform", "random_one", "max_variance_one"}
    assert not uses_history("dopr", {"prior_rollouts": 0})
    assert uses_history("dopr", {"prior_rollouts": 2})
    assert uses_history("one_shot", {"top": 4})
