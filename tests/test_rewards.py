"""Rewards: each kind by hand, their random numbers, and what a run with them writes to its ledger."""

from __future__ import annotations

import math
import random
import sys

import pytest

from dopr.config.recipe import Reward
from dopr.config.schema import Config, ConfigError
from dopr.errors import RewardError, UserError
from dopr.grading.rewards import RULES, Rewards, wrong_labels
from dopr.plugins import load_callable, own_code
from dopr.records import Grade, Prompt, Verdict
from dopr.workflow.preflight import check_rewards
from dopr.workflow.rule_params import RuleParams

BOX, BARE = r"so it is \boxed{4}", "so it is 4"
COMPLETIONS: list[tuple[Verdict, str]] = [("correct", BOX), ("wrong", BOX), ("unparsed", BARE), ("timeout", BOX)]


def rewards(seed: int = 0, **settings: object) -> Rewards:
    return Rewards(Reward(**settings), seed, prompts())


def prompts(*answers: str) -> list[Prompt]:
    return [Prompt(f"p{i}", f"question {i}\n", answer, "chain1") for i, answer in enumerate(answers or "001234567")]


def graded(verdict: Verdict) -> Grade:
    return Grade(verdict, float(verdict == "correct"))


def drawn(made: Rewards, verdict: Verdict, text: str = BOX, count: int = 4000) -> list[float]:
    return [made.reward(graded(verdict), text, 3, 0, "p0", sample) for sample in range(count)]


# --- kinds without chance ---


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({}, [1.0, 0.0, 0.0, 0.0]),
        ({"kind": "wrong_label"}, [1.0, 0.0, 0.0, 0.0]),
        ({"kind": "format"}, [1.0, 1.0, 0.0, 1.0]),
        ({"kind": "random", "probability": 1.0}, [1.0, 1.0, 1.0, 1.0]),
        ({"kind": "random", "probability": 0.0}, [0.0, 0.0, 0.0, 0.0]),
        ({"kind": "noisy", "probability": 0.0}, [1.0, 0.0, 0.0, 0.0]),
        ({"kind": "noisy", "probability": 1.0}, [0.0, 1.0, 1.0, 1.0]),
        ({"kind": "judge", "partial": 0.25, "spread": 0.0}, [1.0, 0.25, 0.0, 0.25]),
    ],
    ids=lambda value: str(value.get("kind", "verdict")) if isinstance(value, dict) else "",
)
def test_what_a_completion_earns(settings: dict, expected: list[float]) -> None:
    made = rewards(**settings)
    assert [made.reward(graded(verdict), text, 0, 0, "p0", 0) for verdict, text in COMPLETIONS] == expected


def test_a_score_between_0_and_1_is_the_reward_and_noise_takes_it_from_1() -> None:
    part = Grade("wrong", 0.25)
    assert rewards().reward(part, BARE, 0, 0, "p0", 0) == 0.25
    assert rewards(kind="noisy", probability=1.0).reward(part, BARE, 0, 0, "p0", 0) == 0.75


@pytest.mark.parametrize("text", ["", r"\boxed{4", r"\boxed", "boxed{4}"])
def test_an_incomplete_box_has_no_format(text: str) -> None:
    assert rewards(kind="format").reward(graded("unparsed"), text, 0, 0, "p0", 0) == 0.0


# --- kinds with chance ---


def test_random_rewards_come_at_their_rate_whatever_the_verdict() -> None:
    made = rewards(kind="random", probability=0.3)
    right, wrong = drawn(made, "correct"), drawn(made, "wrong", BARE)
    assert right == wrong
    assert sum(right) / 4000 == pytest.approx(0.3, abs=4 * math.sqrt(0.21 / 4000))


@pytest.mark.parametrize("probability", [0.1, 0.3, 0.5])
def test_noise_turns_verdicts_round_at_its_rate(probability: float) -> None:
    made = rewards(kind="noisy", probability=probability)
    margin = 4 * math.sqrt(probability * (1 - probability) / 4000)
    assert sum(drawn(made, "correct")) / 4000 == pytest.approx(1 - probability, abs=margin)
    assert sum(drawn(made, "wrong")) / 4000 == pytest.approx(probability, abs=margin)


def test_a_judge_is_noisy_about_its_grades_and_cut_off_at_both_ends() -> None:
    made = rewards(kind="judge", partial=0.5, spread=0.1)
    middle = drawn(made, "wrong")
    mean = sum(middle) / 4000
    assert mean == pytest.approx(0.5, abs=4 * 0.1 / math.sqrt(4000))
    assert math.sqrt(sum((x - mean) ** 2 for x in middle) / 4000) == pytest.approx(0.1, rel=0.06)
    right, none = drawn(made, "correct"), drawn(made, "unparsed", BARE)
    assert max(right) == 1.0
    assert min(none) == 0.0
    # Half of the noise is cut off; the mean of the other half is 0.1 / sqrt(2 pi).
    assert sum(right) / 4000 == pytest.approx(1 - 0.1 / math.sqrt(2 * math.pi), abs=0.005)
    assert sum(none) / 4000 == pytest.approx(0.1 / math.sqrt(2 * math.pi), abs=0.005)


@pytest.mark.parametrize("kind", ["random", "noisy", "judge"])
def test_chance_depends_on_seed_and_place_alone(kind: str) -> None:
    made = rewards(kind=kind)
    places = [(step, group, "p0", sample) for step in range(4) for group in range(4) for sample in range(16)]
    values = [made.reward(graded("wrong"), BOX, *place) for place in places]
    again = {place: rewards(kind=kind).reward(graded("wrong"), BOX, *place) for place in reversed(places)}
    assert values == [again[place] for place in places]
    assert values != [rewards(1, kind=kind).reward(graded("wrong"), BOX, *place) for place in places]
    # Neither the groups of a step nor the steps repeat each other, though prompt and sample are the same.
    blocks = {tuple(values[start : start + 16]) for start in range(0, len(values), 16)}
    assert len(blocks) == 16


@pytest.mark.parametrize("value", [math.nan, -0.01, 1.01, math.inf])
def test_a_reward_out_of_range_is_refused(monkeypatch: pytest.MonkeyPatch, value: float) -> None:
    monkeypatch.setitem(RULES, "judge", lambda *_: value)
    with pytest.raises(RewardError, match=r"reward judge gave .* at \(7, 0, 'p0', 2\); it must lie within 0 and 1"):
        rewards(kind="judge").reward(graded("wrong"), BOX, 7, 0, "p0", 2)


# --- wrong labels ---


@pytest.mark.parametrize(("share", "count"), [(0.0, 0), (0.5, 10), (0.9, 18), (1.0, 20)])
def test_a_share_of_the_pool_gets_another_prompts_answer(share: float, count: int) -> None:
    pool = prompts(*(str(i % 7) for i in range(20)))
    wrong = wrong_labels(pool, share, None, 0)
    assert len(wrong) == count
    answers = {prompt.id: prompt.answer for prompt in pool}
    assert all(label != answers[prompt] and label in answers.values() for prompt, label in wrong.items())


def test_wrong_labels_are_fixed_by_the_seed_and_grow_with_the_share() -> None:
    pool = prompts(*map(str, range(40)))
    half, most = wrong_labels(pool, 0.5, None, 3), wrong_labels(pool, 0.9, None, 3)
    assert half.items() <= most.items()
    assert half == wrong_labels(pool, 0.5, None, 3)
    assert half.keys() != wrong_labels(pool, 0.5, None, 4).keys()


def test_every_other_answer_is_given_and_about_equally_often() -> None:
    labels = [wrong_labels(prompts("a", "b", "c", "d"), 1.0, None, seed)["p1"] for seed in range(600)]
    counts = {answer: labels.count(answer) for answer in sorted(set(labels))}
    assert set(counts) == {"a", "c", "d"}
    assert max(abs(count - 200) for count in counts.values()) < 4 * math.sqrt(600 * 2 / 9)


def test_a_given_label_is_wrong_for_all() -> None:
    wrong = wrong_labels(prompts("4", "5", "6"), 1.0, "4", 0)
    assert wrong["p1"] == wrong["p2"] == "4"
    assert wrong["p0"] in {"5", "6"}


def test_a_pool_with_one_answer_needs_a_label() -> None:
    with pytest.raises(RewardError, match="'4' is the pool's only answer; give another `label`"):
        wrong_labels(prompts("4", "4"), 1.0, None, 0)
    assert wrong_labels(prompts("4", "4"), 1.0, "9292725", 0) == {"p0": "9292725", "p1": "9292725"}


def test_only_wrong_labels_change_what_is_graded_against() -> None:
    truth = {prompt.id: prompt.answer for prompt in prompts()}
    for kind in ("verdict", "format", "random", "noisy", "judge"):
        assert rewards(kind=kind).labels == truth
    labels = rewards(kind="wrong_label", share=1.0).labels
    assert labels.keys() == truth.keys()
    assert all(labels[prompt] != truth[prompt] for prompt in truth)


# --- configuration ---


@pytest.mark.parametrize(
    ("reward", "message"),
    [
        ({"kind": "randm"}, "reward.kind: 'randm' is refused: input should be 'verdict', 'format'"),
        ({"kind": "noisy", "probability": 1.5}, "reward.probability: 1.5 is refused: input should be less than"),
        ({"kind": "noisy", "probability": math.nan}, "reward.probability: nan is refused: input should be"),
        ({"kind": "judge", "spread": -1}, "reward.spread: -1 is refused: input should be greater than"),
        ({"kind": "noisy", "share": 0.3}, "reward.share: kind noisy does not read it; remove it, or use wrong_label"),
        ({"label": "4"}, "reward.label: kind verdict does not read it; remove it, or use wrong_label"),
        ({"probabilty": 0.3}, "reward.probabilty: unknown key; did you mean 'probability'?"),
    ],
)
def test_a_mistake_in_the_configuration_is_named(raw: dict, reward: dict, message: str) -> None:
    raw["recipes"]["grpo"]["reward"] = reward
    with pytest.raises(ConfigError) as caught:
        Config.parse(raw)
    assert str(caught.value).startswith(f"config.yaml: recipes.grpo.{message}")


def test_rules_stay_in_range_for_any_settings() -> None:
    rng = random.Random(0)
    for kind in RULES:
        for _ in range(200):
            keys = {
                "random": {"probability": rng.random()},
                "noisy": {"probability": rng.random()},
                "judge": {"partial": rng.random(), "spread": 10 * rng.random()},
            }
            made = rewards(kind=kind, **keys.get(kind, {}))
            verdict, text = rng.choice(COMPLETIONS)
            assert 0 <= made.reward(graded(verdict), text, rng.randrange(99), 0, "p1", 0) <= 1


def test_a_function_of_ones_own_from_a_file_and_from_a_module(tmp_path, pool):
    (tmp_path / "mine.py").write_text("def half(prompt, text):\n    return 0.5 if prompt['answer'] in text else 0\n")
    settings = Reward(kind="function", function=f"{tmp_path}/mine.py:half")
    made = Rewards(settings, 0, pool)
    assert made.reward(graded("wrong"), f"so {pool[0].answer}", 0, 0, pool[0].id, 0) == 0.5
    assert made.reward(graded("correct"), "nothing", 0, 0, pool[0].id, 0) == 0
    assert load_callable("dopr.grading.answers:last_boxed")("\\boxed{3}") == "3"


@pytest.mark.parametrize("name", ["absent.py:f", "no_such_module:f", "dopr.grading.rewards:absent", "nothing"])
def test_a_function_that_cannot_be_loaded_is_named(name):
    with pytest.raises(UserError, match=rf"'{name}' cannot be loaded .*; give FILE.py:NAME or MODULE"):
        load_callable(name)


@pytest.mark.parametrize("value", ["None", "2", "'1'", "float('nan')"])
def test_what_a_function_gives_must_be_a_number_from_0_to_1(tmp_path, pool, value):
    (tmp_path / "mine.py").write_text(f"def f(prompt, text):\n    return {value}\n")
    made = Rewards(Reward(kind="function", function=f"{tmp_path}/mine.py:f"), 0, pool)
    with pytest.raises(RewardError, match=r"reward function gave .*; it must lie within 0 and 1"):
        made.reward(graded("wrong"), "x", 0, 0, pool[0].id, 0)


@pytest.mark.parametrize("value", ["numpy.float32(1.0)", "numpy.int64(1)", "numpy.array(1.0)", "True"])
def test_a_number_of_any_make_is_a_reward(tmp_path, value):
    (tmp_path / "mine.py").write_text(f"import numpy\ndef f(prompt, text):\n    return {value}\n")
    made = rewards(kind="function", function=f"{tmp_path}/mine.py:f")
    reward = made.reward(graded("wrong"), "x", 0, 0, "p0", 0)
    assert (reward, type(reward)) == (1.0, float)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("\ndef f(prompt, text)\n    return 1\n", "line 2: expected ':'"),
        ("\n\nf = undefined\n", "line 3: NameError: name 'undefined' is not defined"),
    ],
)
def test_a_mistake_in_the_file_is_one_line_that_names_it(tmp_path, text, problem):
    (tmp_path / "mine.py").write_text(text)
    with pytest.raises(UserError) as caught:
        load_callable(f"{tmp_path}/mine.py:f")
    assert str(caught.value) == (
        f"'{tmp_path}/mine.py:f' cannot be loaded ({tmp_path}/mine.py, {problem}); mend the file"
    )


def test_a_file_may_import_its_neighbours_whose_content_counts(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    (tmp_path / "mine.py").write_text(
        "import neighbour_a\ndef f(prompt, text):\n    import neighbour_b.part\n"
        "    return neighbour_a.HALF + neighbour_b.part.HALF\n"
    )
    alone = own_code(f"{tmp_path}/mine.py:f")
    (tmp_path / "neighbour_a.py").write_text("HALF = 0.5\n")
    (tmp_path / "neighbour_b").mkdir()
    (tmp_path / "neighbour_b/part.py").write_text("import neighbour_c\nHALF = neighbour_c.HALF\n")
    (tmp_path / "neighbour_c.py").write_text("HALF = 0.5\n")
    (tmp_path / "stranger.py").write_text("")
    assert load_callable(f"{tmp_path}/mine.py:f")({}, "") == 1.0
    codes = {alone, own_code(f"{tmp_path}/mine.py:f")}
    for name in ("neighbour_a.py", "neighbour_b/part.py", "neighbour_c.py"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "MORE = 1\n")
        codes.add(own_code(f"{tmp_path}/mine.py:f"))
    assert len(codes) == 5
    (tmp_path / "stranger.py").write_text("MORE = 1\n")
    assert own_code(f"{tmp_path}/mine.py:f") in codes


def test_a_neighbour_is_not_taken_for_another_of_its_name(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path])
    for folder in ("first", "second"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "mine.py").write_text("import neighbour_d\ndef f(prompt, text):\n    return 1\n")
        (tmp_path / folder / "neighbour_d.py").write_text("")
    load_callable(f"{tmp_path}/first/mine.py:f")
    with pytest.raises(UserError, match=r"neighbour_d.py has the name of .*first/neighbour_d.py, .*: rename it"):
        load_callable(f"{tmp_path}/second/mine.py:f")


def test_another_content_of_the_file_is_another_run(tmp_path, raw):
    file = tmp_path / "mine.py"
    raw["recipes"]["grpo"]["reward"] = {"kind": "function", "function": f"{file}:f"}
    found = []
    for value in (0, 1):
        file.write_text(f"def f(prompt, text):\n    return {value}\n")
        found.append(RuleParams(Config.parse(raw)).train("grpo").reward_file)
    assert found[0] != found[1]


def test_another_content_of_the_file_is_another_evaluation(tmp_path, raw):
    file = tmp_path / "mine.py"
    raw["evaluate"]["reward"] = {"chain3": f"{file}:f"}
    found = []
    for value in (0, 1):
        file.write_text(f"def f(prompt, text):\n    return {value}\n")
        found.append(RuleParams(Config.parse(raw)).evaluate().rewards)
    assert [list(rewards) for rewards in found] == [["chain3"], ["chain3"]]
    assert found[0]["chain3"]["sha256"] != found[1]["chain3"]["sha256"]


def test_functions_that_cannot_be_loaded_are_named_with_their_key(raw):
    raw["evaluate"]["reward"] = {"chain3": "absent.py:f"}
    with pytest.raises(ConfigError, match=r"evaluate.reward: 'absent.py:f' cannot be loaded"):
        check_rewards(Config.parse(raw))
    raw["recipes"]["dopr"]["reward"] = {"kind": "function", "function": "absent.py:g"}
    with pytest.raises(ConfigError, match=r"recipes.dopr.reward.function: 'absent.py:g' cannot be loaded"):
        check_rewards(Config.parse(raw))
