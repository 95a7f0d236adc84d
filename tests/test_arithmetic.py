"""The arithmetic task: answers by hand and by an independent reading of the question, solutions step by step."""

from __future__ import annotations

import random
import re
from collections import Counter
from itertools import islice

import pytest

from dopr.data.arithmetic import MAX_VALUE, Problem, solution
from dopr.data.families import draw, draw_distinct, draw_mixture
from dopr.files import DataError

FAMILIES = ["chain1", "chain3", "chain5", "mul1", "mul2", "mul3", "eq1", "eq2", "word1", "word2", "mod1", "big1"]
STEP = re.compile(r"(-?\d+)(\+|-|\*|/| mod )(\d+)=(-?\d+)")


def problems(family: str, count: int = 150) -> list[Problem]:
    rng = random.Random(family)
    return [draw(family, rng) for _ in range(count)]


def steps_of(text: str) -> list[tuple[int, str, int, int]]:
    """The written steps as (left, operator, right, result)."""
    return [(int(a), sign.strip(), int(b), int(c)) for a, sign, b, c in STEP.findall(text)]


def value(left: int, sign: str, right: int) -> int:
    return {"+": left + right, "-": left - right, "*": left * right, "/": left // right, "mod": left % right}[sign]


def boxed(text: str) -> int:
    return int(re.fullmatch(r".*\\boxed\{(-?\d+)\}", text)[1])


def read_answer(problem: Problem) -> int:
    """What a person reading the question alone would answer."""
    question = problem.question
    if question.startswith("solve"):
        left, total = question.removeprefix("solve ").split(" = ")
        expression = left.replace("(", "* (") if "(" in left else left.replace("x", "* x")
        (found,) = [x for x in range(-99, 100) if eval(expression, {"x": x}) == int(total)]
        return found
    if " has " in question:
        numbers = [int(number) for number in re.findall(r"\d+", question)]
        lost = [bool(re.search(r"loses|sells|eats", told)) for told in question.split(" , ")[1:-1]]
        changes = zip(lost, numbers[1:], strict=True)
        return numbers[0] + sum(-number if gone else number for gone, number in changes)
    return eval(question.removeprefix("compute ").replace("mod", "%"))


@pytest.mark.parametrize(
    ("question", "start", "operations", "answer"),
    [
        ("compute 32 - 7 + 3", 32, [("-", 7), ("+", 3)], 28),
        ("compute 3 * 4 - 7", 3, [("*", 4), ("-", 7)], 5),
        ("solve 3 x + 4 = 19", 19, [("-", 4), ("/", 3)], 5),
        ("solve 3 ( x + 2 ) - 4 = 17", 17, [("+", 4), ("/", 3), ("-", 2)], 5),
        ("tom has 12 pens , gets 7 more , loses 5 , how many ?", 12, [("+", 7), ("-", 5)], 14),
        ("( 31 + 8 ) mod 7", 31, [("+", 8), ("mod", 7)], 4),
        ("compute 417 * 358", 417, [("*", 358)], 149286),
    ],
)
def test_answers_by_hand(question, start, operations, answer):
    problem = Problem("any", question, start, tuple(operations))
    assert problem.answer == answer
    assert read_answer(problem) == answer


@pytest.mark.parametrize("family", FAMILIES)
def test_the_answer_is_what_the_question_asks_for(family):
    for problem in problems(family):
        assert problem.answer == read_answer(problem), problem.question


@pytest.mark.parametrize("family", FAMILIES)
def test_a_careful_solution_is_right_at_every_step_and_boxes_the_answer(family):
    for problem in problems(family):
        text = solution(problem, "careful", random.Random(0))
        steps = steps_of(text)
        assert len(steps) == len(problem.operations)
        assert all(value(a, sign, b) == c for a, sign, b, c in steps)
        assert [step[0] for step in steps] == [problem.start, *(step[3] for step in steps[:-1])]
        assert boxed(text) == steps[-1][3] == problem.answer
        assert text == " ; ".join(match[0] for match in STEP.finditer(text)) + f" \\boxed{{{problem.answer}}}"


@pytest.mark.parametrize("family", FAMILIES)
def test_a_sloppy_solution_has_one_wrong_step_and_a_wrong_box_unless_a_later_step_hides_it(family):
    rng = random.Random(1)
    for problem in problems(family):
        text = solution(problem, "sloppy", rng)
        steps = steps_of(text)
        off = [i for i, (a, sign, b, c) in enumerate(steps) if value(a, sign, b) != c]
        assert len(off) == 1
        left, sign, right, result = steps[off[0]]
        assert 1 <= abs(result - value(left, sign, right)) <= 9
        assert result >= 0 or value(left, sign, right) < 0
        assert boxed(text) == steps[-1][3]
        hidden = {"/", "mod"} & {later[1] for later in steps[off[0] + 1 :]}
        assert boxed(text) != problem.answer or hidden


def test_every_step_can_be_the_sloppy_one():
    problem, rng = Problem("chain3", "", 20, (("+", 2), ("-", 3), ("+", 4))), random.Random(2)
    slips = Counter()
    for _ in range(300):
        steps = steps_of(solution(problem, "sloppy", rng))
        slips[next(i for i, (a, sign, b, c) in enumerate(steps) if value(a, sign, b) != c)] += 1
    assert all(60 <= slips[i] <= 140 for i in range(3))


def test_direct_has_no_steps_and_unboxed_has_no_box():
    problem = Problem("chain2", "compute 32 - 7 + 3", 32, (("-", 7), ("+", 3)))
    assert solution(problem, "direct", random.Random(0)) == "so \\boxed{28}"
    assert solution(problem, "unboxed", random.Random(0)) == "32-7=25 ; 25+3=28 so 28"
    assert solution(problem, "careful", random.Random(0)) == "32-7=25 ; 25+3=28 \\boxed{28}"


def test_the_word_mod_is_set_apart_by_spaces():
    problem = Problem("mod1", "( 31 + 8 ) mod 7", 31, (("+", 8), ("mod", 7)))
    assert solution(problem, "careful", random.Random(0)) == "31+8=39 ; 39 mod 7=4 \\boxed{4}"


@pytest.mark.parametrize("family", [family for family in FAMILIES if family != "big1"])
def test_running_values_operands_and_answers_stay_in_range(family):
    for problem in problems(family, 400):
        for left, sign, right, result in steps_of(solution(problem, "careful", random.Random(0))):
            assert 0 <= left <= MAX_VALUE
            assert 0 <= result <= MAX_VALUE
            assert 1 <= right <= 9
            assert sign not in "*/" or 2 <= right <= 6


def test_division_is_exact():
    for problem in problems("eq2", 400):
        for left, sign, right, result in steps_of(solution(problem, "careful", random.Random(0))):
            assert sign != "/" or result * right == left


def test_big_products_are_beyond_any_running_value():
    assert min(problem.answer for problem in problems("big1", 400)) >= 101 * 101


def test_levels_set_the_number_of_operations():
    assert {len(problem.operations) for problem in problems("chain4")} == {4}
    assert {len(problem.operations) for problem in problems("mul3")} == {3}
    assert {len(problem.operations) for problem in problems("word2")} == {2}


def test_the_same_random_state_gives_the_same_problem():
    assert [draw("eq2", random.Random(s)) for s in range(20)] == [draw("eq2", random.Random(s)) for s in range(20)]


def test_distinct_problems_are_distinct_and_leave_out_what_is_excluded():
    first = draw_distinct("chain1", 100, random.Random(0), set())
    excluded = {problem.question for problem in first}
    second = draw_distinct("chain1", 100, random.Random(0), excluded)
    assert len(excluded) == 100
    assert len({problem.question for problem in second} | excluded) == 200


def test_a_family_is_drawn_to_its_last_question_and_refused_beyond():
    assert len(draw_distinct("mul1", 25, random.Random(0), set())) == 25  # 2..6 times 2..6
    with pytest.raises(DataError, match=r"^data: family mul1 has only about 25 free questions, 26 were asked for"):
        draw_distinct("mul1", 26, random.Random(0), set())


@pytest.mark.parametrize("family", ["chian2", "chain", "chain12", "2chain", ""])
def test_an_unknown_family_is_named_with_the_known_ones(family):
    with pytest.raises(
        ValueError, match=rf"no task family '{family}'; known are bags, big, .*, word, each with a level"
    ):
        draw(family, random.Random(0))


def test_a_mixture_keeps_its_weights_and_leaves_out_what_is_excluded():
    excluded = {f"compute {a} * {b}" for a in (2, 3) for b in range(2, 7)}
    drawn = list(islice(draw_mixture({"chain2": 1, "word1": 3}, random.Random(0), set()), 4000))
    assert Counter(problem.family for problem in drawn)["word1"] / 4000 == pytest.approx(0.75, abs=0.03)
    products = {problem.question for problem in islice(draw_mixture({"mul1": 1}, random.Random(0), excluded), 500)}
    assert len(products) == 15
    assert not products & excluded
