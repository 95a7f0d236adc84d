"""The DoPR selector: choices and scores worked out by hand, and each of its options."""

from __future__ import annotations

import json
from collections import Counter

import numpy as np
import pytest

from dopr.profiling.simulate import simulate
from dopr.selection.parts.drawing import ALL_PROMPTS, OptionError
from dopr.selection.selector import GroupDecision, GroupResult, RolloutRequest, Setup, make_selector


def selector(name: str, pool: str | tuple[str, ...], seed: int = 0, count: int = 1, history=None, **options):
    features = options.pop("features", None)
    given = {"features": lambda kind: features} if features is not None else {}
    return make_selector(name, Setup(tuple(pool), seed, count, history=history or {}, **given), options)


def scores(chooser, step: int) -> np.ndarray:
    return chooser.scores(step, ALL_PROMPTS, np.random.default_rng(0))


def volatility(chooser, prompt: str, step: int = 0) -> float:
    return chooser.estimate.volatility(np.array([chooser.index_of[prompt]]), step)[0]


def tell(chooser, step: int, prompt: str, rewards: str, entropy: float = float("nan")) -> None:
    chooser.observe(step, GroupResult(prompt, tuple(float(reward) for reward in rewards), entropy))


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
    expected = {
        1: (0.7274, 0.8493, 0.4163),
        2: (0.8036, 0.7013, 0.5241),
        3: (0.8113, 0.7470, 0.5887),
        4: (0.7886, 0.7792, 0.6343),
        5: (0.6720, 0.8040, 0.6693),
    }
    for step, (prompt, rewards) in enumerate(told):
        if step in expected:
            assert scores(chooser, step) == pytest.approx(expected[step], abs=1e-4)
        assert chooser.select(step) == [prompt], step
        chooser.observe(step, GroupResult(prompt, tuple([float(reward) for reward in rewards])))
    assert chooser.metrics() == pytest.approx({"volatility": 0.3307, "exploration": 0.4733}, abs=1e-4)


def test_dopr_without_any_history_takes_the_highest_volatility_there_can_be():
    chooser = selector("dopr", pool="ab", prior_rollouts=8)
    assert volatility(chooser, "a") == 0.5
    chooser.observe(0, GroupResult("a", (1, 1, 1, 1)))
    assert (volatility(chooser, "a"), volatility(chooser, "b")) == (0, 0.5)


def test_dopr_counts_a_prompt_that_the_profile_never_visited_as_unknown():
    assert volatility(selector("dopr", pool="ab", history={"a": (), "b": (0.0,)}), "a") == 0.5
    assert volatility(selector("dopr", pool="ab", history={"a": (), "b": (0.0,)}), "b") == 0


def test_dopr_without_a_prior_ignores_the_profile():
    history = {"a": (0.0,), "b": (0.5,)}
    assert volatility(selector("dopr", pool="ab", history=history, prior_rollouts=0), "a") == 0.5


def test_dopr_without_exploration_is_greedy_and_with_much_of_it_takes_turns():
    history = {"a": (0.5,), "b": (0.25,), "c": (0.125,)}
    greedy = selector("dopr", pool="abc", history=history, candidates=3, exploration=0)
    assert [greedy.select(step) for step in range(5)] == [["a"]] * 5
    curious = selector("dopr", pool="abc", history=history, candidates=3, exploration=100)
    visits = Counter()
    for step in range(1, 31):
        (prompt,) = curious.select(step)
        visits[prompt] += 1
        curious.observe(step, GroupResult(prompt, (0, 1)))
    assert visits == {"a": 10, "b": 10, "c": 10}


def test_dopr_takes_the_best_several_of_its_candidates():
    history = {"a": (0.25,), "b": (0.5,), "c": (0.0,), "d": (0.125,)}
    assert selector("dopr", pool="abcd", count=3, history=history, candidates=4).select(0) == ["b", "a", "d"]


def test_dopr_with_one_candidate_is_a_random_choice():
    history = {"a": (0.5,), "b": (0.0,), "c": (0.0,)}
    chooser = selector("dopr", pool="abc", history=history, candidates=1)
    assert set(Counter(chooser.select(step)[0] for step in range(60))) == {"a", "b", "c"}


# --- volatility shared across similar prompts ---

LIKE = np.array([[1, 0], [1, 0], [0, 1]], np.float32)  # a and b alike, c unlike both


def test_shared_volatility_by_hand():
    """Bandwidth 1: k(a, b) = 1 and k(a, c) = exp(-1) = .3679. After a visit of a with 8 of 8 right:

    p_a = p_b = (1 + 8) / (2 + 8) = .9, V = .3; p_c = (1 + 2.943) / (2 + 2.943) = .7977, V = .4017.
    """
    chooser = selector("dopr", "abc", similarity="text", bandwidth=1.0, exploration=1.0, features=LIKE)
    assert [volatility(chooser, prompt) for prompt in "abc"] == [0.5] * 3
    tell(chooser, 0, "a", "11111111")
    assert [volatility(chooser, prompt) for prompt in "abc"] == pytest.approx([0.3, 0.3, 0.4017], abs=1e-4)
    # The bonus counts the visit for a and b in full, for c by .3679: sqrt(ln 2 / 2) and sqrt(ln 2 / 1.3679).
    assert chooser.exploration_bonus(1, ALL_PROMPTS) == pytest.approx([0.5887, 0.5887, 0.7118], abs=1e-4)
    assert chooser.select(1) == ["c"]


def test_shared_volatility_forgets_by_the_step():
    """Forgetting 1/2, two steps later: a visit with 8 of 8 right weighs 1/4: p_b = (1 + 2) / (2 + 2) = 3/4."""
    for candidates in (3, "all"):
        chooser = selector("dopr", "abc", similarity="text", forgetting=0.5, features=LIKE, candidates=candidates)
        tell(chooser, 0, "a", "11111111")
        tell(chooser, 1, "b", "00000000")  # weighs 1/2 at step 2: p_b = (1 + 2) / (2 + 2 + 4)
        bonus = chooser.exploration_bonus(1, ALL_PROMPTS)[1]
        assert scores(chooser, 1)[1] - bonus == pytest.approx(np.sqrt(5 / 14 * 9 / 14))
        assert volatility(chooser, "b", 2) == pytest.approx(np.sqrt(3 / 8 * 5 / 8))


def test_shared_volatility_adds_the_profile_of_the_prompt_itself_alone():
    history = {"a": (0.75,), "b": (), "c": ()}  # 8 pseudo-rewards, 6 of them successes: p_a = 7 / 10
    chooser = selector("dopr", "abc", history=history, similarity="text", features=LIKE)
    assert [volatility(chooser, prompt) for prompt in "abc"] == pytest.approx([np.sqrt(0.21), 0.5, 0.5])


@pytest.mark.parametrize("forgetting", [1.0, 0.9])
def test_shared_volatility_is_the_same_for_candidates_and_for_the_whole_pool(forgetting):
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((40, 5)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    pool = tuple(f"p{i}" for i in range(40))
    chooser = selector("dopr", pool, similarity="hidden", forgetting=forgetting, features=vectors)
    for step in range(0, 60, 3):
        tell(chooser, step, pool[int(rng.integers(40))], "".join(rng.choice(list("01"), 8)))
    few = np.array([7, 3, 39])
    visits = list(zip(chooser.estimate.indices, chooser.estimate.steps, chooser.estimate.outcomes, strict=True))
    for index, value in zip(few, chooser.estimate.volatility(few, 61), strict=True):
        weights = [forgetting ** (61 - t) * np.exp((vectors[index] @ vectors[j] - 1) / 0.1) for j, t, _ in visits]
        right = 1 + sum(w * s for w, (_, _, (s, _)) in zip(weights, visits, strict=True))
        asked = 2 + sum(w * n for w, (_, _, (_, n)) in zip(weights, visits, strict=True))
        assert value == pytest.approx(np.sqrt(right / asked * (1 - right / asked)), rel=1e-4)
    whole_pool = chooser.estimate.volatility(ALL_PROMPTS, 61)
    assert whole_pool[few] == pytest.approx(chooser.estimate.volatility(few, 61), rel=1e-5)


# --- other estimates of volatility ---


def test_moving_average_of_the_unbiased_variance_by_hand():
    """1000: u = 3/16 * 4/3 = 1/4, so v stays 1/4. Then 1111: v = 1/8, V = .3536. Profile 0, 1/2: v = 1/8 at first."""
    chooser = selector("dopr", "ab", history={"b": (0.0, 0.5)}, volatility="ema", rate=0.5)
    assert [volatility(chooser, prompt) for prompt in "ab"] == pytest.approx([0.5, np.sqrt(1 / 8)])
    tell(chooser, 0, "a", "1000")
    assert volatility(chooser, "a") == pytest.approx(0.5)
    tell(chooser, 1, "a", "1111")
    assert volatility(chooser, "a") == pytest.approx(np.sqrt(1 / 8))
    tell(chooser, 2, "a", "1")  # one reward alone says nothing of the variance
    assert volatility(chooser, "a") == pytest.approx(np.sqrt(1 / 8))


def test_historical_variance_grows_with_the_visits():
    chooser = selector("dopr", "ab", history={"a": (0.0, 1.0)}, volatility="history")
    assert [volatility(chooser, prompt) for prompt in "ab"] == [0.5, 0.5]
    told = [0.0, 1.0]
    for rewards in ("1100", "1000", "1111"):
        tell(chooser, 0, "a", rewards)
        told.append(rewards.count("1") / 4)
        assert volatility(chooser, "a") == pytest.approx(np.std(told))
    tell(chooser, 0, "b", "1111")
    assert volatility(chooser, "b") == 0.5  # one visit has no variance


def test_beta_posterior_by_hand():
    """Profile 1/2 with 4 pseudo-rewards: Beta(3, 3). 1111: Beta(7, 3). 0000 with forgetting 1/2: Beta(5, 7)."""
    chooser = selector("dopr", "a", history={"a": (0.5,)}, volatility="beta", forgetting=0.5, prior_rollouts=4)
    for rewards, mean in ((None, 1 / 2), ("1111", 7 / 10), ("0000", 5 / 12)):
        if rewards:
            tell(chooser, 0, "a", rewards)
        assert volatility(chooser, "a") == pytest.approx(np.sqrt(mean * (1 - mean)))


# --- other explorations ---


def test_epsilon_is_the_share_of_random_choices():
    history = {"a": (0.5,), "b": (0.0,), "c": (0.0,)}
    options = {"candidates": 3, "explore": "epsilon", "history": history}
    greedy = selector("dopr", "abc", exploration=0, **options)
    assert [greedy.select(step) for step in range(9)] == [["a"]] * 9
    third = selector("dopr", "abc", exploration=0.3, **options)
    counts = Counter(third.select(step)[0] for step in range(2000))
    assert abs(counts["b"] + counts["c"] - 400) <= 72  # 2/3 of .3; 4 standard deviations


def test_thompson_chooses_by_draws_from_the_posterior():
    history = {"a": (0.5,), "b": (0.0,), "c": (0.25,)}
    sure = selector("dopr", "abc", candidates=3, history=history, explore="thompson", prior_rollouts=10000)
    assert [sure.select(step) for step in range(20)] == [["a"]] * 20
    unsure = selector("dopr", "abc", candidates=3, history=history, explore="thompson", prior_rollouts=4)
    counts = Counter(unsure.select(step)[0] for step in range(300))
    assert counts["a"] > counts["c"] > counts["b"] > 0
    # The mean of p (1 - p) over Beta(3, 3) is 3 * 3 / (6 * 7).
    drawn = [unsure.scores(0, np.array([0]), np.random.default_rng(i))[0] ** 2 for i in range(2000)]
    assert np.mean(drawn) == pytest.approx(9 / 42, abs=0.005)


def test_without_exploration_there_is_no_bonus():
    chooser = selector("dopr", "ab", explore="none", exploration=3)
    assert scores(chooser, 100).tolist() == [0.5, 0.5]
    chooser.select(100)
    assert chooser.metrics() == {"volatility": 0.5, "exploration": 0}


def test_a_temperature_draws_in_proportion_to_the_exponential_of_the_score():
    """Scores 1/2 and 0 at temperature 1/2: odds e to 1, a share of .7311."""
    history = {"a": (0.5,), "b": (0.0,)}
    for candidates in (2, "all"):
        chooser = selector(
            "dopr", "ab", candidates=candidates, history=history, explore="none", temperature=0.5, prior_rollouts=8
        )
        counts = Counter(chooser.select(step)[0] for step in range(2000))
        assert abs(counts["a"] - 1462) <= 80  # 4 standard deviations


def test_exploration_fades_with_the_entropy_within_its_limits():
    chooser = selector("dopr", "a", entropy=[0.75, 1.5])
    plain = selector("dopr", "a").exploration_bonus(9, ALL_PROMPTS)[0]
    for entropy, factor in ((2.0, 1.0), (1.8, 0.9), (0.5, 0.75), (9.0, 1.5)):
        for _ in range(16):
            chooser.observe(9, GroupResult("a", (1.0, 0.0), entropy))
        assert chooser.entropy_scale.factor == pytest.approx(factor)
    chooser = selector("dopr", "a", entropy=[0.75, 1.5])
    assert chooser.exploration_bonus(9, ALL_PROMPTS)[0] == plain
    with pytest.raises(OptionError, match="needs the policy's entropy, which is nan here"):
        tell(chooser, 0, "a", "10")


# --- the whole pool ---


def test_the_whole_pool_competes_and_ties_are_broken_at_random():
    pool = "abcdefgh"
    history = {"c": (0.5,), "e": (0.25,), **dict.fromkeys("abdfgh", (0.0,))}
    chooser = selector("dopr", pool, history=history, candidates="all", count=2)
    assert [chooser.select(step) for step in range(9)] == [["c", "e"]] * 9
    third = selector("dopr", pool, history=history, candidates="all", count=3)
    assert {third.select(step)[2] for step in range(60)} == set("abdfgh")


# --- screening ---


def rewards_by_prompt(step: int, request: RolloutRequest) -> tuple[float, ...]:
    """Half of a's rollouts are right, none of the others'."""
    return tuple(float(request.prompt == "a" and i % 2) for i in range(request.rollouts))


def test_screening_takes_turns_with_completing_the_chosen():
    chooser = selector("dopr", "abcd", candidates=4, screening=2, exploration=0)
    played = list(simulate(chooser, range(4), rewards_by_prompt))
    for screened, completed in (played[:2], played[2:]):
        assert sorted((request.prompt, request.rollouts) for request in screened.requests) == [(p, 2) for p in "abcd"]
        (held,) = screened.decision.hold
        assert (held.prompt, screened.decision.train) == ("a", ())
        assert completed.requests == [RolloutRequest("a", 6, held)]
        assert completed.decision == GroupDecision((completed.groups[0],))
        assert completed.groups[0].rewards == (0, 1, 0, 1, 0, 1, 0, 1)


def test_pipelined_screening_does_both_at_every_step():
    chooser = selector("dopr", "abcd", candidates=4, screening=2, exploration=0, pipelined=True)
    played = list(simulate(chooser, range(3), rewards_by_prompt))
    assert [sum(request.rollouts for request in step.requests) for step in played] == [8, 14, 14]
    assert [len(step.decision.train) for step in played] == [0, 1, 1]
    completing = [RolloutRequest("a", 6, step.decision.hold[0]) for step in played[:2]]
    assert [step.requests[0] for step in played[1:]] == completing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"screening": 8}, "screening 8 leaves nothing of a group of 8"),
        ({"explore": "epsilon", "exploration": 2.0}, "exploration 2.0 is no probability"),
        ({"explore": "thompson", "volatility": "ema"}, "thompson needs volatility window or beta, not ema"),
        ({"entropy": (2.0, 1.0)}, r"entropy: \[2.0, 1.0\] must be two numbers"),
    ],
)
def test_options_that_do_not_go_together_are_refused(options, message):
    with pytest.raises(OptionError, match=message):
        selector("dopr", "ab", **options)


@pytest.mark.parametrize(
    "options",
    [
        {"volatility": "ema"},
        {"volatility": "history"},
        {"volatility": "beta", "forgetting": 0.7, "explore": "thompson"},
        {"explore": "epsilon", "exploration": 0.5},
        {"temperature": 0.2, "candidates": "all"},
        {"entropy": [0.5, 2.0]},
        {"similarity": "text", "forgetting": 0.9, "candidates": "all"},
        {"similarity": "text", "forgetting": 0.9, "candidates": 2},
    ],
    ids=str,
)
def test_every_variant_goes_on_from_its_state_as_if_never_stopped(options):
    def make():
        history = {"a": (0.5, 0.25), "b": (1.0,)}
        return selector("dopr", "abc", history=history, features=LIKE, **{"candidates": 2, **options})

    def tell_all(chooser, steps: range) -> list[str]:
        chosen = []
        for step in steps:
            chosen += chooser.select(step)
            tell(chooser, step, chosen[-1], f"{(step * 37 + ord(chosen[-1])) % 16:04b}", entropy=1 + step % 3)
        return chosen

    whole, stopped, resumed = make(), make(), make()
    expected = tell_all(whole, range(60))
    before = tell_all(stopped, range(25))
    resumed.load_state_dict(json.loads(json.dumps(stopped.state_dict())))
    assert before + tell_all(resumed, range(25, 60)) == expected
    assert resumed.state_dict() == whole.state_dict()


def test_the_metrics_of_the_last_choice_outlive_a_stop():
    """With screening, the step after a choice makes none and shows those of the last."""
    options = {"candidates": 3, "screening": 2}
    chooser, resumed = (selector("dopr", pool="abc", **options) for _ in range(2))
    groups = [GroupResult(prompt, (1.0, 0.0)) for prompt in "abc"]
    for group in groups:
        chooser.observe(0, group)
    chooser.decide(0, groups)
    resumed.load_state_dict(json.loads(json.dumps(chooser.state_dict())))
    assert resumed.metrics() == chooser.metrics()
    assert chooser.metrics()["volatility"] > 0
