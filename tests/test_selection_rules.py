"""The published selection rules, each against its formula worked out by hand."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest

from dopr.files import read_json
from dopr.profiling.simulate import simulate
from dopr.selection.lim import alignment
from dopr.selection.parts.drawing import ALL_PROMPTS, OptionError
from dopr.selection.selector import GroupDecision, GroupResult, RolloutRequest, Setup, make_selector
from test_historical_variance import RECORD, recorded


def selector(name: str, pool: str, count: int = 1, group: int = 4, seed: int = 0, history=None, **options):
    return make_selector(name, Setup(tuple(pool), seed, count, group, history=history or {}), options)


def group(prompt: str, rewards: str) -> GroupResult:
    return GroupResult(prompt, tuple(float(reward) for reward in rewards))


# --- MoPPS ---


def test_mopps_updates_its_posterior_by_the_published_rule():
    """Forgetting 1/2. 3 of 4 right: a = 1/2 + 1/2 + 3 = 4, b = 1/2 + 1/2 + 1 = 2.

    Then 0 of 4: a = 4/2 + 1/2 + 0 = 5/2, b = 2/2 + 1/2 + 4 = 11/2.
    """
    chooser = selector("mopps", "ab", candidates=2, forgetting=0.5)
    for rewards, expected in (("1110", (4, 2)), ("0000", (2.5, 5.5))):
        chooser.observe(0, group("a", rewards))
        successes, trials = chooser.posterior.counts(ALL_PROMPTS)
        assert (successes[0], trials[0] - successes[0]) == expected
        assert (successes[1], trials[1]) == (1, 2)  # never visited


def test_mopps_chooses_the_success_rate_nearest_to_the_target():
    for target, nearest in ((0.5, "b"), (1.0, "a"), (0.0, "c")):
        chooser = selector("mopps", "abc", candidates=3, forgetting=1.0, target=target)
        for _ in range(200):  # posteriors too narrow to overlap
            for prompt, rewards in {"a": "1111", "b": "1100", "c": "0000"}.items():
                chooser.observe(0, group(prompt, rewards))
        assert [chooser.select(step) for step in range(20)] == [[nearest]] * 20


def test_mopps_draws_from_the_posterior_instead_of_taking_its_mean():
    chooser = selector("mopps", "ab", candidates=2)
    chooser.observe(0, group("a", "1100"))  # a's mean is 1/2 as well, but its posterior is narrower
    counts = Counter(chooser.select(step)[0] for step in range(400))
    assert 0 < counts["b"] < counts["a"]


# --- GRESO ---


def test_greso_keeps_with_the_published_probability():
    chooser = selector("greso", "abc", p_easy=0.5, p_hard=0.8)
    expected = {"a": [0.5, 0.25, 0.125], "b": [0.8, 0.64, 0.512]}
    for prompt, rewards in {"a": "1111", "b": "0000"}.items():
        for value in expected[prompt]:
            chooser.observe(0, group(prompt, rewards))
            assert chooser.keep_probability(prompt) == pytest.approx(value)
    chooser.observe(0, group("a", "0000"))  # the fourth in a row, now all wrong
    assert chooser.keep_probability("a") == pytest.approx(0.8**4)
    for _ in range(20):
        chooser.observe(0, group("b", "0000"))
    assert chooser.keep_probability("b") == 0.01  # .8^23 is .0059
    chooser.observe(0, group("b", "1000"))
    assert chooser.keep_probability("b") == chooser.keep_probability("c") == 1


def test_greso_skips_as_often_as_it_says():
    chooser = selector("greso", "ab")
    chooser.observe(0, group("b", "0000"))  # kept half the time: one b for two a
    counts = Counter(chooser.select(step)[0] for step in range(3000))
    assert abs(counts["b"] - 1000) <= 103  # 4 standard deviations: 4 sqrt(3000 * 1/3 * 2/3)


def test_greso_tunes_by_a_hundredth_a_step_from_the_second_epoch_on():
    """Targets: a third of .25 for easy, two thirds for hard. Pool of 4, 4 a step.

    step 0, first epoch: nothing is tuned. step 1: 1/4 all right >= .083, so p_easy falls; 0 all wrong < .167, so
    p_hard rises. step 2: all groups informative, both rise.
    """
    chooser = selector("greso", "abcd", count=4)
    seen = []
    for step, rewards in enumerate((["1100"] * 4, ["1111", "1100", "1000", "0100"], ["1100"] * 4, ["1100"] * 4)):
        prompts = chooser.select(step)
        seen.append((round(chooser.p["easy"], 9), round(chooser.p["hard"], 9)))
        for prompt, text in zip(prompts, rewards, strict=True):
            chooser.observe(step, group(prompt, text))
    assert seen == [(0.5, 0.5), (0.5, 0.5), (0.49, 0.51), (0.5, 0.52)]


def test_greso_keeps_its_probabilities_within_bounds():
    chooser = selector("greso", "ab", count=2, p_easy=0.06, p_hard=0.94)
    for step in range(6):
        for prompt in chooser.select(step):
            chooser.observe(step, group(prompt, "1111"))
    assert (chooser.p["easy"], chooser.p["hard"]) == (0.05, 0.95)


# --- DAPO ---


def test_dapo_holds_informative_groups_until_a_batch_is_there():
    chooser = selector("dapo", "abcd", count=2)
    informative, right, wrong = group("a", "1100"), group("b", "1111"), group("c", "0000")
    assert chooser.decide(0, [right, informative]) == GroupDecision((), (informative,))
    assert chooser.metrics() == {"waiting": 1}
    assert chooser.decide(1, [informative, wrong, right]) == GroupDecision((), (informative,))
    three = [group("a", "1100") for _ in range(3)]  # a third one is more than the batch
    assert chooser.decide(2, three) == GroupDecision(tuple(three[:2]))
    assert chooser.metrics() == {"waiting": 0}


def test_dapo_goes_through_the_pool_in_the_order_of_grpo():
    grpo, dapo = (selector(name, "abcdefg", count=3) for name in ("uniform", "dapo"))
    assert [dapo.select(step) for step in range(9)] == [grpo.select(step) for step in range(9)]


# --- SPEED ---


def position_in(groups: Sequence[GroupResult], group: GroupResult | None) -> int | None:
    return None if group is None else groups.index(group)


def test_speed_by_hand():
    """Two prompts a step, groups of 4, screened by 2: the budget is 8 rollouts. The pool's order is w x y z ...

    step 0: nothing held; 4 screened, w and y are informative: held.
    step 1: w and y completed for 4, 2 more screened for 4, none of them informative; w and y trained on.
    step 2: nothing held: 4 screened, all informative.
    step 3: 4 completed for 8, nothing is left for screening; two trained on, two in the buffer.
    step 4: nothing to complete, so 4 screened, none informative; the two of the buffer trained on.
    """
    right = {0: "1011", 1: "11", 2: "1111", 3: "", 4: "0000"}  # of the first rollout of each new group

    def draw(step: int, request: RolloutRequest) -> tuple[float, ...]:
        if request.group is not None:
            return (1.0,) * request.rollouts
        new[step] += 1
        informative = {0: (0, 2), 1: (), 2: (0, 1, 2, 3), 3: (), 4: ()}[step]
        return (1.0, 0.0) if new[step] - 1 in informative else (float(right[step][0]),) * 2

    new: Counter[int] = Counter()
    played = list(simulate(selector("speed", "abcdefgh", count=2, screening=2), range(5), draw))
    assert {request.rollouts for step in played for request in step.requests} == {2}
    held: list[Sequence[GroupResult]] = [(), *(step.decision.hold for step in played)]
    asked = [[position_in(held[i], request.group) for request in step.requests] for i, step in enumerate(played)]
    screen, first, second, third, fourth = None, 0, 1, 2, 3
    assert asked == [
        [screen] * 4,
        [first, second, screen, screen],
        [screen] * 4,
        [first, second, third, fourth],
        [screen] * 4,
    ]
    found = [(step.groups, step.decision) for step in played]
    assert [
        tuple(tuple(position_in(groups, group) for group in part) for part in (decision.train, decision.hold))
        for groups, decision in found
    ] == [
        ((), (0, 2)),
        ((0, 1), ()),
        ((), (0, 1, 2, 3)),
        ((0, 1), (2, 3)),
        ((0, 1), ()),
    ]
    assert [len(outcome.rewards) for outcome in played[3].groups] == [4] * 4
    order = selector("uniform", "abcdefgh", count=10).select(0)
    assert [request.prompt for step in played[:3] for request in step.requests if request.group is None] == order


def test_speed_takes_accuracies_strictly_between_its_limits():
    chooser = selector("speed", "ab", group=8, screening=4, low=0.25, high=0.75)
    groups = [group("a", rewards) for rewards in ("0000", "1000", "1100", "1110", "1111")]
    assert chooser.decide(0, groups).hold == (groups[2],)


@pytest.mark.parametrize("screening", [1, 3, 8])
def test_speed_refuses_a_screening_that_screens_nothing_or_would_make_costs_differ(screening):
    with pytest.raises(OptionError, match=rf"speed: screening {screening} does not .* a group of 8 .* one of \[2, 4\]"):
        selector("speed", "ab", group=8, screening=screening)


@pytest.mark.parametrize("group", [2, 3, 7])
def test_speed_cannot_screen_a_group_whose_size_is_a_prime_number(group):
    with pytest.raises(OptionError, match="take a group_size that is no prime number, such as 8"):
        selector("speed", "ab", group=group)


# --- UCB ---


def test_ucb_by_hand():
    """a: variances 1/4 and 0 in 2 visits: 4 * .125 + sqrt(2 ln 3 / 2) = 1.5481; b: 3/16 in 1: .75 + sqrt(2 ln 3)."""
    chooser = selector("ucb", "abc", candidates=3)
    for prompt, rewards in (("a", "1100"), ("a", "1111"), ("b", "1110")):
        chooser.observe(0, group(prompt, rewards))
    expected = [0.5 + math.sqrt(math.log(3)), 0.75 + math.sqrt(2 * math.log(3)), math.inf]
    assert chooser.upper_bounds(ALL_PROMPTS) == pytest.approx(expected)
    assert chooser.select(3) == ["c"]  # never visited
    chooser.observe(3, group("c", "0000"))
    assert chooser.select(4) == ["b"]


# --- LIM ---


def test_lim_by_hand():
    """Two visits count. Means 1/6 and 2/3; sum (1 - m)^2 = 29/36; a and b miss by 5/36, c by 2/36."""
    history = {"a": (0.0, 1.0), "b": (0.5, 0.5), "c": (0.0, 0.5, 1.0), "d": ()}
    assert alignment(history) == pytest.approx({"a": 24 / 29, "b": 24 / 29, "c": 27 / 29})
    chooser = selector("lim", "abcd", count=3, history=history, top=2)
    assert [chooser.select(step) for step in (0, 1)] == [["c", "a", "c"], ["a", "c", "a"]]
    with pytest.raises(OptionError, match="lim: top 4 asked for, but only 3 prompts have a history"):
        selector("lim", "abcd", history=history, top=4)


def test_lim_says_when_there_is_no_curve():
    with pytest.raises(OptionError, match="every prompt of the profile was always solved"):
        alignment({"a": (1.0,), "b": (1.0, 1.0)})
    assert alignment({"a": ()}) == {}


@recorded
def test_lim_ranks_the_public_record_as_the_authors_code_does():
    """The fifteen indices that One-Shot-RLVR's data_selection.py --method lim puts first."""
    history = read_json(RECORD)
    chosen = selector("lim", "x", count=15, history=history, top=15).select(0)
    expected = "416 964 569 317 369 256 430 139 883 572 337 334 672 215 764"
    assert chosen == expected.split()


# --- a fixed set ---


def test_fixed_takes_its_prompts_in_turn():
    chooser = selector("fixed", "abcd", count=2, prompts=["d", "b", "a"])
    assert [chooser.select(step) for step in range(3)] == [["d", "b"], ["a", "d"], ["b", "a"]]


def test_fixed_names_the_prompts_that_do_not_exist():
    with pytest.raises(OptionError, match=r"fixed: prompts \[.*\] are not in the pool of 4; .* such as 'a'"):
        selector("fixed", "abcd", prompts=["a", "z"])
    with pytest.raises(ValueError, match=r"options.prompts: \[\] is refused: list should have at least 1 item"):
        selector("fixed", "abcd", prompts=[])


# --- maximal variance ---


def test_max_variance_of_the_whole_pool_breaks_ties_at_random():
    chooser = selector("max_variance", "abcdef", count=2, candidates="all")
    for prompt in "abcd":
        chooser.observe(0, group(prompt, "1111"))
    chooser.observe(0, group("e", "1100"))  # a quarter, as f never visited
    chooser.observe(0, group("a", "1000"))
    assert {tuple(chooser.select(step)) for step in range(50)} == {("e", "f"), ("f", "e")}
    assert np.unique([chooser.select(step)[0] for step in range(50)], return_counts=True)[1].min() > 5
