"""References that say nothing are named before training."""

import os
from pathlib import Path

import pytest

from dopr.config.grading import Verify
from dopr.data.sources import known_sources, load_source
from dopr.data.unreadable_references import as_warnings, check_readable, unreadable
from dopr.files import DataError
from dopr.records import Prompt

LIMITS = Verify(seconds=5, memory_mb=2048, max_error_share=0.05)


def prompts(*answers):
    return [Prompt(f"p{i}", "text", answer, "family") for i, answer in enumerate(answers)]


def test_prompts_are_named_by_split():
    splits = {"test": prompts("1", "", r"\frac{1}{2}"), "pool": prompts("$t(0,4]$", "x", ""), "other": prompts("3")}
    assert unreadable(splits, LIMITS) == {"test": ["p1"], "pool": ["p0", "p2"]}


def test_whole_numbers_need_no_grader(monkeypatch):
    monkeypatch.setattr("dopr.data.unreadable_references.Grader", None)
    assert unreadable({"pool": prompts("1", "-20")}, LIMITS) == {}


def test_a_source_of_which_the_grader_can_read_too_little_is_refused():
    splits = {"test": [*prompts("1", "2", "$"), Prompt("q0", "text", "1", "other")], "pool": prompts("1", "2", "3")}
    found, places = {"test": ["p2"]}, {"p2": "exam.csv: row 4"}
    check_readable(splits, found, places, 0.34)
    check_readable(splits, {}, places, 0.0)
    with pytest.raises(DataError) as caught:
        check_readable(splits, found, places, 0.33)  # 1 of 3; the prompts of other sources do not count
    assert str(caught.value) == (
        "exam.csv: row 4: the grader cannot read reference '$', and 1 in all of the 3 of family in test, more than "
        "verify.max_error_share, 0.33: mend them, drop their rows, or raise it"
    )
    check_readable({"pool": prompts("", "1")}, {"pool": ["p0"]}, {}, 0.0)  # unanswered, as its source allows


def test_a_line_a_split_with_five_names_at_most():
    (line,) = as_warnings({"pool": [f"p{i}" for i in range(7)]})
    assert line.startswith("pool: the reference answers of 7 prompts cannot be read (p0, p1, p2, p3, p4, ...):")
    assert as_warnings({}) == []


@pytest.mark.skipif("DOPR_DATA" not in os.environ, reason="DOPR_DATA names no folder with the public files")
def test_those_of_the_public_pool():
    loaded = load_source("dsr_sub", known_sources()["dsr_sub"], Path(os.environ["DOPR_DATA"]))
    found = unreadable({"dsr_sub": loaded.prompts}, LIMITS)
    answers = {prompt.id: prompt.answer for prompt in loaded.prompts}
    print([answers[i] for i in found["dsr_sub"]])
    assert len(found["dsr_sub"]) == 4
