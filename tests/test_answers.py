r"""Finding the last \boxed{} of a completion."""

from __future__ import annotations

import pytest

from dopr.verify.answers import last_boxed


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"42-7=35 \boxed{35}", "35"),
        (r"\boxed{1} then \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}", r"\frac{1}{2}"),
        (r"\boxed{\{1, 2\}}", r"\{1, 2\}"),
        (r"\boxed{x \boxed{3} y}", "3"),
        (r"\boxed{ 7 } and more", "7"),
        (r"\boxed{}", ""),
        (r"\boxed{a}b}", "a"),
    ],
)
def test_the_content_of_the_last_box(text, answer):
    assert last_boxed(text) == answer


@pytest.mark.parametrize("text", ["", "so 35", r"\boxed", "boxed{3}", r"\boxed 3", r"\boxed{3", r"\boxed{\frac{1}{2}"])
def test_text_without_a_complete_box_has_no_answer(text):
    assert last_boxed(text) is None


def test_an_unclosed_box_falls_back_to_the_last_complete_one():
    assert last_boxed(r"\boxed{1} and \boxed{2} and \boxed{3") == "2"
    assert last_boxed(r"\boxed{1} and \boxed{\boxed{") == "1"


def test_many_unclosed_boxes_are_read_in_reasonable_time():
    assert last_boxed(r"\boxed{4}" + r"\boxed{" * 300) == "4"
