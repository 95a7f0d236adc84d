r"""Finding the last \boxed{} of a completion."""

from __future__ import annotations

import pytest

from dopr.grading.answers import final_answer, joined_boxes, last_boxed


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
        (r"\boxed{7} and \boxed{ }", "7"),
        (r"\boxed{a}b}", "a"),
    ],
)
def test_the_content_of_the_last_box(text, answer):
    assert last_boxed(text) == answer


@pytest.mark.parametrize("text", ["", "so 35", r"\boxed", "boxed{3}", r"\boxed{3", r"\boxed{\frac{1}{2}"])
def test_text_without_a_complete_box_has_no_answer(text):
    assert last_boxed(text) is None


def test_an_unclosed_box_falls_back_to_the_last_complete_one():
    assert last_boxed(r"\boxed{1} and \boxed{2} and \boxed{3") == "2"
    assert last_boxed(r"\boxed{1} and \boxed{\boxed{") == "1"


def test_many_unclosed_boxes_are_read_in_reasonable_time():
    assert last_boxed(r"\boxed{4}" + r"\boxed{" * 300) == "4"


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed 5", "5"),
        (r"\boxed\frac{1}{2}", r"\frac{1}{2}"),
        (r"\fbox{5}", "5"),
        (r"\boxed {5}", "5"),
        (r"\boxed{\text{a \} b}}", r"\text{a \} b}"),
        (r"\boxedx{5}", None),
    ],
)
def test_other_boxes(text, answer):
    assert last_boxed(text) == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"\boxed{1} or \boxed{2}", "1, 2"),
        (r"$\boxed{1}$, $\boxed{2}$ and $\boxed{3}$.", "1, 2, 3"),
        (r"\boxed{1}, \boxed{1}", "1"),
        (r"\boxed{1}\quad\boxed{2}", "1, 2"),
        (r"\boxed{1} \text{ and } \boxed{2}", "1, 2"),
        (r"\(\boxed{1}\) or \(\boxed{2}\)", "1, 2"),
        (r"$x=\boxed{1}$ and $y_1 = \boxed{2}$", "1, 2"),
        (r"\boxed{(1,2)}, \boxed{(2,1)}", "(1,2), (2,1)"),
        (r"\boxed{1}, \boxed{2}, \boxed{}", "1, 2"),
        (r"\boxed{1} so that \boxed{2}", None),
        (r"\boxed{1}", None),
    ],
)
def test_boxes_in_a_row_are_a_list(text, answer):
    assert joined_boxes(text) == answer


@pytest.mark.parametrize(
    ("text", "boxed", "stated", "any_"),
    [
        (r"\boxed{4}, so the answer is 5", "4", "4", "4"),
        ("The final answer is $\\frac{1}{2}$. I hope it is right.", None, r"\frac{1}{2}", r"\frac{1}{2}"),
        ("The answer is 12.5. Done", None, "12.5", "12.5"),
        ("Answer: **7**\n", None, "7", "7"),
        (r"The final answer is $\$10$.", None, r"\$10", r"\$10"),
        ("The answer is therefore $x = 5$, of 7.", None, "x = 5", "x = 5"),
        ("The answer is $x=1$ or $x=2$, as $3=3$.", None, "x=1, x=2", "x=1, x=2"),
        ("Answer:\n\n$$\nx=5\n$$\n", None, "x=5", "x=5"),
        ("The answer is every $x$ but $x=-4$ and $x=1$.", None, "x", "x"),
        ("The answer is all but $x=-4$ and $x=1$. So it is.", None, "x=-4, x=1", "x=-4, x=1"),
        ("The answer is 12 apples.", None, "12", "12"),
        ("The answer is June 20.", None, "June 20", "June 20"),
        ("Answer:\n\n$$x=5$$", None, "x=5", "x=5"),
        ("we get 3 and then 1,234.5", None, None, "1,234.5"),
        (r"we get 3 and then $\frac{1}{2}$", None, None, r"\frac{1}{2}"),
        (r"we get $\frac{1}{2}$ and then 3", None, None, "3"),
        ("it costs $5 and not $6", None, None, "6"),
        ("nothing", None, None, None),
    ],
)
def test_where_an_answer_is_looked_for(text, boxed, stated, any_):
    assert [final_answer(text, where) for where in ("boxed", "stated", "any")] == [boxed, stated, any_]


@pytest.mark.parametrize(
    ("text", "exact", "gsm8k"),
    [
        (" 12\n", "12", None),
        (r"\boxed{3}", r"\boxed{3}", None),
        ("5 + 7 = 12\n#### 12", "5 + 7 = 12\n#### 12", "12"),
        ("#### 3\nno:\n#### $1,234,567 \nand more", "#### 3\nno:\n#### $1,234,567 \nand more", "1234567"),
        ("####-7.5", "####-7.5", "-7.5"),
        ("#### x = 4 dollars", "#### x = 4 dollars", "x = 4 dollars"),
        ("#### 3\n####\n4", "#### 3\n####\n4", None),
        (r"#### 3 \boxed{4}", r"#### 3 \boxed{4}", r"3 \boxed{4}"),
        ("", None, None),
        (" \n", None, None),
    ],
)
def test_extractions_that_look_for_no_box(text, exact, gsm8k):
    assert [final_answer(text, where) for where in ("exact", "gsm8k")] == [exact, gsm8k]


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("<answer>7</answer>", "7"),
        ("<answer>1</answer> no: <answer>\n 2, 3 \n</answer>.", "2, 3"),
        ("<answer>1</answer> and <answer>2", "1"),
        ("<answer> </answer>", None),
        (r"\boxed{7} 7", None),
    ],
)
def test_the_last_pair_of_answer_tags(text, answer):
    assert final_answer(text, "tags") == answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{1} or \boxed{2", "2"),  # not closed
        (r"\boxed 5$ and so on", "5"),
        (r"\boxed{3} Final Answer: The final answer is $4$. I hope it is correct.", "4"),
        ("The answer is 5. Let me explain.\n It is.", "5. Let me explain.It is"),  # all of it
        ("The final answer is: 7.", "7"),
        ("It is 3/4, or 1,250.", "1250"),
        ("It is 3/4", "4"),
        ("I do not know", None),
        (r"\boxed{}", ""),
    ],
)
def test_the_extraction_of_qwens_code(text, answer):
    assert final_answer(text, "qwen") == answer
