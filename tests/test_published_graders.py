"""The deepscaler profile beside the code it follows: PRM800K's grader, as the package mathruler has it."""

from __future__ import annotations

import os
import signal

import pytest
from mathruler.grader import grade_answer

from dopr.commands import forms
from dopr.config.grading import Verify
from dopr.grading.grader import Grader

needs_data = pytest.mark.skipif("DOPR_DATA" not in os.environ, reason="DOPR_DATA names no folder with the public files")
REFERENCES = [
    *(r"\frac{3}{7}", r"2\sqrt{2}", "x^2-1", r"90^\circ", "12", "-0.125", "10080", r"\text{east}", r"1\frac{4}{5}"),
    *("(1,2)", "[0, 1)", r"\frac{n(n+1)}{2}", r"\begin{pmatrix} 1 \\ -2 \end{pmatrix}", "1,2,3", "204_5", r"6 - 5i"),
]
# It takes a typographic minus sign for a letter, and a full stop for a decimal point if an expression goes before it.
OTHERWISE = {"minus sign", "full stop"}
SECONDS = 10  # of one comparison by sympy, which may hang


@pytest.fixture
def limited():
    """A comparison that is called off when it takes too long; it then counts as no equality, as it does in training."""

    def stop(*_):
        raise TimeoutError

    def compare(answer, reference):
        signal.alarm(SECONDS)
        try:
            return bool(grade_answer(answer, reference))
        except TimeoutError:
            return False
        finally:
            signal.alarm(0)

    before = signal.signal(signal.SIGALRM, stop)
    yield compare
    signal.signal(signal.SIGALRM, before)


def agreement(rows, limited):
    """Share of equal verdicts, and the cases of unequal ones."""
    cases = [case for case in forms.cases(iter(rows)) if case[1] not in OTHERWISE]
    with Grader(Verify(seconds=5, memory_mb=2048, max_error_share=1, profile="deepscaler", workers=2)) as grader:
        ours = grader.grade([(reference, rf"\boxed{{{text}}}") for _, _, reference, text in cases])
    unequal = [
        case for case, verdict in zip(cases, ours, strict=True) if (verdict == "correct") != limited(case[3], case[2])
    ]
    return 1 - len(unequal) / len(cases), unequal


def test_verdicts_of_kinds_of_answers_in_every_form(limited):
    share, unequal = agreement([("kinds", reference) for reference in REFERENCES], limited)
    assert share >= 0.98, unequal


@needs_data
def test_verdicts_of_some_references_in_every_form(limited):
    share, unequal = agreement(list(forms.references(None))[::20], limited)
    assert share >= 0.99, unequal


@needs_data
@pytest.mark.slow
def test_verdicts_of_every_reference_in_every_form(limited):
    share, unequal = agreement(forms.references(None), limited)
    assert share >= 0.995, unequal
