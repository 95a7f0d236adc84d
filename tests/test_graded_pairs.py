"""Pairs that graders get wrong: wrong answers that are paid, and right answers that are refused."""

from __future__ import annotations

import pytest

from dopr.grading import mathematics

PAID = {  # wrong answers
    "an equation in I": ("I=5", "I=6"),
    "an equation in e": (r"e=\frac12", r"e=\frac13"),
    "an equation without a variable": ("2+2=4", "5=6"),
    "equations without real solutions": ("x^2-4x+13=0", "x^2+4x+13=0"),
    "no real solution and no solution": ("x^2+1=0", "1=2"),
    "always true and always false": ("2+2=4", "1=2"),
    "a false equation that ends in the reference": ("2", "1=2"),
    "wrong arithmetic": ("5", r"3+\frac{2}{2}=5"),
    "unequal solutions": ("x^2=4", "x^2=9"),
    "inequalities without solutions": ("x^2<-1", "x^2<-2"),
    "inequalities without a variable": ("1<2", "3<5"),
    "an inequality turned": ("x<2", "-x<-2"),
    "a.m. and p.m.": (r"9\text{ a.m.}", r"9\text{ p.m.}"),
    "am and pm": ("9 am", "9 pm"),
    "the first of two lines": (r"x=1 \\ y=2", r"x=3 \\ y=2"),
    "the last of two lines": (r"x=1 \\ y=2", r"x=1 \\ y=3"),
    "lines of cases": (r"\begin{cases} x=1 \\ y=2 \end{cases}", r"\begin{cases} x=3 \\ y=2 \end{cases}"),
    "aligned lines": (r"\begin{aligned} x&=1 \\ y&=2 \end{aligned}", r"\begin{aligned} x&=3 \\ y&=2 \end{aligned}"),
    "lines of a text": ("x=1\ny=2", "x=3\ny=2"),
    "one line of two": (r"x=1 \\ y=2", "y=2"),
    "a square root and its negative": (r"\sqrt{1/n}", r"-1/\sqrt n"),
    "an absolute value": ("|x|", "x"),
    "an ordinal of another number": ("12", r"13^{\mathrm{th}}"),
    "another product": ("26000", "1000(27)"),
    "one sign of two": (r"(\sqrt2,1),(-\sqrt2,1)", r"(\sqrt2,1)"),
    "another condition": (r"a\le-2 \text{ or } a=1", r"(-\infty,-2]\cup\{2\}"),
}
REFUSED = {  # right answers
    "bare braces": ("{1,2,3}", "1,2,3"),
    "bare braces in another order": ("{1,2,3}", "3,1,2"),
    "a fraction with a bare denominator": (r"\frac{a+b}c", r"\frac{a+b}{c}"),
    "such a fraction, spelled otherwise": (r"\frac{a+b}c", "(b+a)/c"),
    "a fraction with a bare command": (r"\frac\pi4", r"\frac{\pi}{4}"),
    "such a fraction as a decimal": (r"\frac\pi4", r"0.25\pi"),
    "a condition with or": (r"a\le-2 \text{ or } a=1", r"(-\infty,-2]\cup\{1\}"),
    "both signs in a pair": (r"(\sqrt2,1),(-\sqrt2,1)", r"(\pm\sqrt2,1)"),
    "an ordinal in an upright font": ("12", r"12^{\mathrm{th}}"),
    "a product": ("26000", "1000(26)"),
    "a root of a fraction": (r"\sqrt{1/n}", r"1/\sqrt n"),
    "for all x": ("f(x)=1", r"f(x)=1 \text{ for all } x"),
    "for all x, plain": ("f(x)=1", "f(x)=1 for all x"),
    "proportional sides": ("y=2x+1", "4x-2y+2=0"),
    "sides in another order": ("x^2+y^2=25", "25=y^2+x^2"),
    "an equal equation in I": ("I=5", r"I=\frac{10}{2}"),
    "an inequality, turned with its sign": ("x<2", "-x>-2"),
    "a.m.": (r"9\text{ a.m.}", "9 AM"),
    "the full hour": ("9:00 a.m.", r"9 \text{ am}"),
    "lines and a list": (r"x=1 \\ y=2", "y=2, x=1"),
    "lines of cases and aligned": (
        r"\begin{cases} x=1 \\ y=2 \end{cases}",
        r"\begin{aligned} x&=1 \\ y&=2 \end{aligned}",
    ),
}


@pytest.mark.parametrize(("reference", "answer"), PAID.values(), ids=PAID)
def test_a_wrong_answer_is_not_paid(reference, answer):
    assert mathematics.grade(reference, answer) == "wrong"
    assert mathematics.grade(answer, reference) == "wrong"


@pytest.mark.parametrize(("reference", "answer"), REFUSED.values(), ids=REFUSED)
def test_a_right_answer_is_not_refused(reference, answer):
    assert mathematics.grade(reference, answer) == "correct"
    assert mathematics.grade(answer, reference) == "correct"
