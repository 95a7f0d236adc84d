"""References that say nothing are named before training."""

import os
from pathlib import Path

import pytest

from dopr.data.sources import known_sources, load_source
from dopr.records import Prompt
from dopr.references import told, unreadable
from dopr.verify.section import Verify

LIMITS = Verify(seconds=5, memory_mb=2048, max_error_share=0.05)


def prompts(*answers):
    return [Prompt(f"p{i}", "text", answer, "family") for i, answer in enumerate(answers)]


def test_prompts_are_named_by_split():
    splits = {"test": prompts("1", "", r"\frac{1}{2}"), "pool": prompts("$t(0,4]$", "x", ""), "other": prompts("3")}
    assert unreadable(splits, LIMITS) == {"test": ["p1"], "pool": ["p0", "p2"]}


def test_whole_numbers_need_no_grader(monkeypatch):
    monkeypatch.setattr("dopr.references.Grader", None)
    assert unreadable({"pool": prompts("1", "-20")}, LIMITS) == {}


def test_a_line_a_split_with_five_names_at_most():
    (line,) = told({"pool": [f"p{i}" for i in range(7)]})
    assert line.startswith("pool: the reference answers of 7 prompts cannot be read (p0, p1, p2, p3, p4, ...):")
    assert told({}) == []


@pytest.mark.skipif("DOPR_DATA" not in os.environ, reason="DOPR_DATA names no folder with the public files")
def test_those_of_the_public_pool():
    loaded = load_source("dsr_sub", known_sources()["dsr_sub"], Path(os.environ["DOPR_DATA"]))
    found = unreadable({"dsr_sub": loaded.prompts}, LIMITS)
    answers = {prompt.id: prompt.answer for prompt in loaded.prompts}
    print([answers[i] for i in found["dsr_sub"]])
    assert len(found["dsr_sub"]) == 4
