"""The historical variance score: by hand, and against the published ranking where the public record is at hand."""

from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest

from dopr.selection.parts.historical_variance import Ranked, rank

DATA = Path(os.environ.get("DOPR_DATA") or Path(__file__).parents[2] / "shared" / "data")
RECORD = DATA / "one_shot_rlvr" / "acc_step_500.json"
recorded = pytest.mark.skipif(not RECORD.is_file(), reason="needs the public record of 1-shot RLVR: set DOPR_DATA")


def test_the_score_is_the_population_variance_and_the_highest_comes_first():
    # a: mean 1/2, variance (1/4 + 0 + 1/4) / 3 = 1/6. b: mean 1/2, variance 1/4.
    first, second = rank({"a": [0, 0.5, 1], "b": [0, 1]})
    assert (first.rank, first.prompt, first.variance, first.mean, first.visits) == (1, "b", 0.25, 0.5, 2)
    assert (second.rank, second.prompt, second.visits) == (2, "a", 3)
    assert (second.variance, second.mean) == (pytest.approx(1 / 6), 0.5)


def test_many_visits_do_not_lower_the_score_as_a_sample_variance_would():
    # Population variances 0.2025 and 0.25; with n - 1 in the denominator they would be 0.405 and 0.3333.
    assert [row.prompt for row in rank({"a": [0.05, 0.95], "b": [0, 0, 1, 1]})] == ["b", "a"]


def test_exact_ties_stay_in_file_order():
    history = {"z": [0, 0], "m": [0, 1], "a": [0, 0], "k": [1, 0], "b": [1, 1]}
    assert [row.prompt for row in rank(history)] == ["m", "k", "z", "a", "b"]


def test_a_prompt_never_visited_has_no_rank():
    assert rank({"a": [], "b": [0.5]}) == [Ranked(1, "b", 0.0, 0.5, 1)]
    assert rank({}) == []


def test_the_order_of_visits_does_not_matter_and_a_shift_of_all_accuracies_neither():
    rng = np.random.default_rng(0)
    history = {str(i): rng.integers(0, 5, 8) / 16 for i in range(20)}
    order = [row.prompt for row in rank(history)]
    by_variance = sorted(history, key=lambda prompt: -np.var(history[prompt]))
    assert [history[a].var() for a in order] == pytest.approx([history[b].var() for b in by_variance])
    shifted = {prompt: np.sort(values)[::-1] + 0.5 for prompt, values in history.items()}
    assert [row.variance for row in rank(shifted)] == pytest.approx([row.variance for row in rank(history)])


@pytest.fixture(scope="module")
def published() -> list[Ranked]:
    return rank(json.loads(RECORD.read_text()))


@recorded
def test_the_published_prompts_have_their_published_ranks(published):
    assert {place: published[place - 1].prompt for place in (1, 2, 13, 1209)} == {
        1: "124",
        2: "267",
        13: "682",
        1209: "789",
    }


@recorded
def test_the_highest_variance_of_the_record(published):
    assert round(published[0].variance, 6) == 0.165450


@recorded
def test_a_short_profile_does_not_find_the_best_prompt():
    early = rank({prompt: accuracies[:20] for prompt, accuracies in json.loads(RECORD.read_text()).items()})
    best = next(row for row in early if row.prompt == "124")
    assert sum(row.variance > best.variance + 1e-12 for row in early) == 688
