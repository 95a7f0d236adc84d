"""Fields: what an answer says is kept, what says nothing is refused, and worked solutions give their answers."""

from __future__ import annotations

import json
import math
from decimal import Decimal

import pytest

from dopr.data.fields import ANSWERS, answer, read


def refusal(value: object, form: str = "text") -> str:
    with pytest.raises(ValueError, match=r"^field 'a' is ") as caught:
        read({"a": value}, "a", answer(form))
    return str(caught.value)


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (27.0, "27"),
        (0.5, "0.5"),
        (-0.0, "0"),
        (1e23, "1" + 23 * "0"),
        (3, "3"),
        (10**400, "1" + 400 * "0"),
        (Decimal("12.50"), "12.50"),
        (Decimal("12"), "12"),
        (Decimal("1E+2"), "100"),
        (["$x$"], "$x$"),
        (" 4 ", "4"),
        ("0", "0"),
        ("infinity", "infinity"),
        (r"\infty", r"\infty"),
        ("banana", "banana"),
        ("1e99", "1e99"),
        (None, ""),
        (" ", ""),
        ([None], ""),
    ],
)
def test_an_answer_is_what_the_value_says(value: object, expected: str) -> None:
    assert answer("text")(value) == expected


@pytest.mark.parametrize(
    "value",
    [math.nan, math.inf, -math.inf, json.loads("NaN"), json.loads("1e999"), "nan", "NaN", "-inf", "1e999", ["nan"]],
)
def test_what_is_no_finite_number_is_no_answer(value: object) -> None:
    assert refusal(value).endswith(", and no finite number; write the answer out, or drop the row")


@pytest.mark.parametrize("value", [True, ["1", "2"], [], {"a": 1}])
def test_what_is_neither_text_nor_a_number_is_no_answer(value: object) -> None:
    assert refusal(value).endswith(", and neither text nor a number; write the answer out, or drop the row")


@pytest.mark.parametrize(
    ("ending", "expected"),
    [
        ("#### 42", "42"),
        ("####42\n", "42"),
        ("#### 1,234", "1234"),
        ("#### 1,234,567.50", "1234567.50"),
        ("#### -5", "-5"),
        ("#### $18", "18"),
        ("#### -$1,800.", "-1800"),
        ("#### $-5", "-5"),
        (r"#### \$.75", ".75"),
        ("#### 1\n#### 2", "2"),
        ("#### 110\nThe answer is: 110", "110"),
        ("#### 1,2", "1,2"),  # no thousands: a list, or a point, which nobody can know
        (r"#### \frac{3}{4}", r"\frac{3}{4}"),
        ("#### 50%", "50%"),
        ("#### B", "B"),
        ("####", ""),
    ],
)
def test_the_answer_of_gsm8k_is_after_its_last_mark(ending: str, expected: str) -> None:
    assert answer("gsm8k")(f"It takes 2/2=<<2/2=1>>1 bolt, # 7, $3 each.\n{ending}") == expected


def test_a_worked_solution_without_its_answer_is_refused() -> None:
    assert "which has no #### before an answer; give another `answer_format`" in refusal("so it is 42", "gsm8k")
    assert "which has no complete \\boxed{}" in refusal("so it is 42", "boxed")
    assert "and no finite number" in refusal(r"\boxed{nan}", "boxed")
    assert "and no finite number" in refusal("#### nan", "gsm8k")
    assert "and not text" in refusal(42, "gsm8k")


@pytest.mark.parametrize("form", ANSWERS)
def test_null_is_unanswered_in_every_form(form: str) -> None:
    assert answer(form)(None) == answer(form)("") == ""
