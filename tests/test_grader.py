r"""Grading in workers that can be killed: verdicts, hostile answers, and what happens when a worker fails."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from dopr.config.grading import Verify
from dopr.grading.grader import Grader, GraderError, canonical_integer
from dopr.grading.guards import MAX_ANSWER

LENIENT = Verify(seconds=1, memory_mb=1024, max_error_share=1, workers=2)
HOSTILE = (
    "9^{9^{9^9}}",
    "(10^9)!",
    "2^{3^{4^{5^6}}}",
    "{" * 200 + "1" + "}" * 200,
    "7" * 1_000_000,
    r"\input{/etc/passwd}",
    "__import__('os').system('true')",
    "\x00",
    "\ud800",
)


def box(answer: object) -> str:
    return f"so \\boxed{{{answer}}}"


@pytest.mark.parametrize(
    ("reference", "text", "verdict"),
    [
        ("28", box(28), "correct"),
        ("28", "28", "unparsed"),
        ("28", box(27), "wrong"),
        ("28", box(-28), "wrong"),
        ("28", box("028"), "correct"),
        ("28", box("28.0"), "correct"),
        ("1/2", box(r"\frac{2}{4}"), "correct"),
        ("0.5", box(r"\frac{1}{2}"), "correct"),
        ("2", box(r"\sqrt{4}"), "correct"),
        ("x+1", box("1+x"), "correct"),
        ("28", box(""), "unparsed"),
        ("28", "", "unparsed"),
        ("28", "\\boxed{27} no, " + box(28), "correct"),
        ("28", "\\boxed{28} no, " + box(27), "wrong"),
        ("28", "\\boxed{28", "unparsed"),
        ("28", box(28) + box(""), "correct"),
        ("1,2", r"\boxed{1} and \boxed{2}", "correct"),
        ("1,-2", r"\boxed{1}\quad\boxed{-2}", "correct"),
        ("1,-2", r"\boxed{1} \text{and} \boxed{-2}", "correct"),
        ("1,-2", r"\(\boxed{1}\) and \(\boxed{-2}\)", "correct"),
        ("1,-2", r"x = \boxed{1}, y_2 = \boxed{-2}", "correct"),
        ("1,-2", r"x = \boxed{1}, y_2 = \boxed{2}", "wrong"),
        ("(1,2),(2,1)", r"\boxed{(1,2)}, \boxed{(2,1)}", "correct"),
        ("(1,2),(2,1)", r"\boxed{(1,2)}, \boxed{(2,2)}", "wrong"),
        ("1,2", r"first \boxed{1}, which gives us then \boxed{2}", "wrong"),
    ],
)
def test_verdicts(grader, reference, text, verdict):
    assert grader.grade([(reference, text)]) == [verdict]


@pytest.mark.parametrize(
    ("extraction", "reference", "text", "verdict"),
    [
        ("exact", "12", " 12\n", "correct"),
        ("exact", "1/2", "0.5", "correct"),
        ("exact", "12", "it is 12", "wrong"),
        ("exact", "12", "", "unparsed"),
        ("exact", "1,2", r"x \boxed{1} and \boxed{2}", "wrong"),  # boxes are joined where boxes are looked for
        ("gsm8k", "1234", "5 more\n#### $1,234", "correct"),
        ("gsm8k", "1,2", "\\boxed{1} and \\boxed{2}\n#### 3", "wrong"),
        ("gsm8k", "12", r"\boxed{12}", "unparsed"),
    ],
)
def test_verdicts_on_answers_without_a_box(extraction, reference, text, verdict):
    with Grader(LENIENT.model_copy(update={"extraction": extraction})) as grader:
        assert grader.grade([(reference, text)]) == [verdict]


@pytest.mark.parametrize(
    ("reference", "text", "verdict"),
    [
        ("28", box(28), "correct"),
        ("28", "so it is 28 apples", "correct"),
        ("28", "it is 28, not 27", "wrong"),
        ("28", r"28 \boxed{27}", "wrong"),
        ("10", r"The final answer is $\$10$.", "correct"),
        ("12", "The answer is 12 apples. The other 5 are eaten.", "correct"),
        (r"\frac{1}{2}", r"Therefore $x = \frac{2}{4}$ of the 3.", "wrong"),
        (r"\frac{1}{2}", r"Of the 3, therefore, $x = \frac{2}{4}$.", "correct"),
        ("28", "I do not know", "unparsed"),
    ],
)
def test_the_default_is_the_last_box_else_a_statement_else_the_last_formula_or_number(reference, text, verdict):
    with Grader(LENIENT) as grader:
        assert grader.version.startswith("dopr/any, ")
        assert grader.grade([(reference, text)]) == [verdict]


@pytest.mark.parametrize(
    ("extraction", "reference", "text", "verdict"),
    [
        (None, "0.5", r"so $x = \frac{1}{2}$", "correct"),  # it looks for the answer itself
        (None, "28", "28" + " and so on" * 1000, "correct"),  # of any length
        (None, "28", "so it is 27", "wrong"),
        (None, "28", "I do not know", "unparsed"),
        (None, "28", "", "unparsed"),
        (None, "", "28", "error"),
        (None, "2^{-99}", r"\boxed{2^{-98}}", "correct"),  # its rounding, which the profile dopr does not have
        ("boxed", "28", "so it is 28", "unparsed"),
        ("boxed", "28", box("28.0"), "correct"),
    ],
)
def test_the_profile_math_verify_is_math_verify_alone(extraction, reference, text, verdict):
    with Grader(LENIENT.model_copy(update={"profile": "math_verify", "extraction": extraction})) as grader:
        assert grader.grade([(reference, text)]) == [verdict]


def test_math_verify_alone_survives_hostile_answers_too():
    with Grader(LENIENT.model_copy(update={"profile": "math_verify"})) as grader:
        texts = [box(13), box("9^{9^{9^9}}"), "7" * 1_000_000, "\ud800", box(14), box("13.0")]
        verdicts = grader.grade([("13", text) for text in texts])
    assert verdicts[:1] + verdicts[-2:] == ["correct", "wrong", "correct"]
    assert "correct" not in verdicts[1:-2]


def test_nothing_to_grade(grader):
    assert grader.grade([]) == []


@pytest.mark.parametrize("integer", ["0", "-0", "007", "-12", "120"])
def test_significant_digits_say_which_integer_it_is(integer):
    assert canonical_integer(integer) == canonical_integer(str(int(integer)))
    assert canonical_integer(integer) != canonical_integer(str(int(integer) + 1))


@pytest.mark.parametrize("answer", HOSTILE)
def test_a_hostile_answer_is_told_apart_and_its_neighbours_keep_their_verdicts(grader, answer):
    start = time.monotonic()
    verdicts = grader.grade([("13", text) for text in (box(13), box(answer), box(14), box("13.0"))])
    assert verdicts[1] in ("timeout", "unparsed")
    assert verdicts[:1] + verdicts[2:] == ["correct", "wrong", "correct"]
    assert time.monotonic() - start < 30


def test_what_computes_for_ever_is_killed_and_costs_its_own_verdict_alone():
    with Grader(LENIENT) as grader:
        endless = rf"\sin({'+'.join(f'{i}^{{{i}/7}}' for i in range(2, 60))})^{{x}}"
        verdicts = grader.grade([("1", box(1)), ("x^2", box(rf"\int {endless} dx")), ("1", box(2)), ("3", box("3.0"))])
    assert verdicts[1] in ("timeout", "wrong", "error")
    assert verdicts[:1] + verdicts[2:] == ["correct", "wrong", "correct"]


@pytest.mark.slow
def test_a_thousand_hostile_answers_lose_none_of_a_thousand_good_ones():
    with Grader(LENIENT) as grader:
        good = [(str(i), box(f"{i}.0")) for i in range(1000)]
        bad = [(str(i), box(HOSTILE[i % len(HOSTILE)] + " " * (i // len(HOSTILE)))) for i in range(1000)]
        verdicts = grader.grade([pair for both in zip(good, bad, strict=True) for pair in both])
        assert verdicts[::2] == ["correct"] * 1000
        assert set(verdicts[1::2]) <= {"timeout", "unparsed"}
        assert grader.grade([("5", box(r"\frac{10}{2}"))]) == ["correct"]


def test_verdicts_do_not_depend_on_the_number_of_workers():
    pairs = [(str(i % 7), box(f"\\frac{{{i}}}{{{1 + i % 3}}}")) for i in range(200)]
    found = []
    for workers in (1, 3):
        with Grader(LENIENT.model_copy(update={"workers": workers})) as grader:
            found.append(grader.grade(pairs))
    assert found[0] == found[1]
    assert len(set(found[0])) == 2


def test_equal_pairs_are_compared_once_and_certain_ones_never(grader, monkeypatch):
    sent, compare = [], grader._pool.compare

    def note(pairs):
        sent.extend(pairs)
        return compare(pairs)

    monkeypatch.setattr(grader._pool, "compare", note)
    pairs = [("9.1", box("9.10")), ("9.1", "other words " + box("9.10")), ("902", box(901)), ("x", box("x"))]
    assert grader.grade(pairs) == ["correct", "correct", "wrong", "correct"]
    assert grader.grade([*pairs, ("9", box("1" * (MAX_ANSWER + 1)))]) == [
        *["correct", "correct", "wrong", "correct"],
        "unparsed",
    ]
    assert sent == [("9.1", "9.10")]


# --- when the grader itself fails ---


def test_a_reference_that_says_nothing_is_an_error_and_too_many_stop_the_run(limits, capfd):
    with Grader(limits) as grader:
        assert grader.grade([("", box(i)) for i in range(5)]) == ["error"] * 5  # 5 of 100 is the limit
        grader.grade([(str(i), box(i)) for i in range(15)])
        with pytest.raises(GraderError, match=r"29% of 21 verdicts are errors .* verify\.max_error_share = 0\.05"):
            grader.grade([("", box(6))])
    assert "reference answer '' is empty" in capfd.readouterr().err


def test_references_that_say_nothing_are_found_before_anything_is_graded(grader):
    assert grader.unreadable(["1", "", r"\frac{1}{2}", r"\text{east}", "$t(0,4]$", "1"]) == ["", "$t(0,4]$"]


def test_a_worker_killed_between_two_calls_costs_nothing():
    with Grader(LENIENT) as grader:
        grader.grade([("1", box("1.0"))])
        for worker in grader._pool._workers:
            os.kill(worker.process, signal.SIGKILL)
        assert grader.grade([(str(i), box(f"{i}.0")) for i in range(20, 60)]) == ["correct"] * 40


def test_a_worker_that_cannot_start_is_reported_and_not_taken_for_bad_answers(tmp_path: Path, monkeypatch):
    (tmp_path / "math_verify.py").write_text("raise ImportError('not here')\n")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{os.environ.get('PYTHONPATH', '')}")
    with Grader(LENIENT) as grader, pytest.raises(GraderError, match="is math-verify installed"):
        grader.grade([("1", box("1.0"))])


def test_leaving_the_grader_ends_its_processes():
    with Grader(LENIENT) as grader:
        grader.grade([("1", box("1.0"))])
        processes = [grader._pool._server.pid, *(worker.process for worker in grader._pool._workers)]
    for process in processes:
        deadline = time.monotonic() + 10
        while Path(f"/proc/{process}/stat").exists() and Path(f"/proc/{process}/stat").read_text().split()[2] != "Z":
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_the_small_policy_needs_a_box_and_an_overlay_for_another_model_has_the_default(shipped):
    assert Verify(**shipped["verify"]).extraction == "boxed"
    assert Verify(**shipped["verify"] | {"extraction": None}).extraction is None
    with Grader(Verify(**shipped["verify"] | {"extraction": None})) as grader:
        assert grader.extraction == "any"


def test_the_version_names_profile_rules_and_packages(grader):
    assert grader.version.startswith("dopr/boxed, rules ")
    assert "math-verify 0.9.0" in grader.version
    with Grader(LENIENT.model_copy(update={"profile": "qwen_eval"})) as other:
        assert other.version != grader.version
