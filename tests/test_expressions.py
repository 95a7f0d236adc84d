r"""What tells two expressions apart before they are simplified: never two that math-verify calls equal."""

import random

import pytest
from math_verify import verify

from dopr.commands.forms import FORMS, cases
from dopr.grading.expressions import differ, understood

REFERENCES = [
    r"\frac{3}{7}",
    r"\sqrt{2}+1",
    "x^2-1",
    r"e^{-at}\cos(t)",
    r"\frac{n(n+1)}{2}",
    r"2\pi",
    "0.125",
    "-11",
    "3n",
]


def expressions(*texts):
    return [understood(text)[0] for text in texts]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("3n", "258"),
        ("x^2", "x^2+1"),
        ("x+y", "x-y"),
        (r"\frac{1}{3}", "0.34"),
        (r"\lfloor\log_2 n\rfloor+1", "13"),
        (r"e^{-2t}+C_1", r"e^{-2t}+2C_1"),
        ("2+3i", "2-3i"),
    ],
)
def test_unlike_values_differ(one, other):
    assert differ(*expressions(one, other))
    assert differ(*expressions(other, one))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("(x+1)^2", "x^2+2x+1"),
        (r"\sin^2 x+\cos^2 x", "1"),
        (r"\sqrt{x^2}", "x"),  # for the positive
        (r"\log(xy)", r"\log x+\log y"),  # likewise
        (r"\frac{1}{3}", "0.3333"),  # nearer than a difference that is clear
        ("x", "y"),  # symbols are compared by name elsewhere
        (r"\sum_{k=1}^{9} k", "44"),  # slow to evaluate: left to the comparison
        (r"\frac{1}{x-0.7}", "3"),  # no value at the point
        ("f(x)", "9"),
    ],
)
def test_it_is_silent_on_equals_and_on_what_it_cannot_evaluate(one, other):
    assert not differ(*expressions(one, other))


def test_what_differs_is_never_equal_to_math_verify():
    rng = random.Random(0)
    pairs = [(reference, text) for _, form, reference, text in cases(("x", r) for r in REFERENCES) if form in FORMS]
    pairs += [tuple(rng.sample(REFERENCES, 2)) for _ in range(30)]
    told = 0
    for reference, text in pairs:
        sides = [understood(reference), understood(text)]
        if all(sides) and differ(sides[0][0], sides[1][0]):
            told += 1
            assert not verify(*sides, allow_set_relation_comp=True), (reference, text)
    assert told > 20
