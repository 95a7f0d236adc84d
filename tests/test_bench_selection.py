"""The cost of selection: every row is measured and the state is what the selector keeps. Times are not asserted."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import numpy as np
import pytest

import selection
from dopr.commands.replay import parse
from dopr.selection.dopr import Selector
from dopr.selection.parts.drawing import draw_success_rates
from dopr.selection.selector import built_in
from selection import SELECTORS, directions, measure

DOCS = Path(__file__).parents[1] / "docs" / "selectors.md"


def test_every_selector_with_a_choice_to_make_is_measured(capsys: pytest.CaptureFixture[str]):
    assert {parse(text)[0] for text in SELECTORS} == set(built_in()) - {"fixed", "lim", "one_shot"}
    selection.main(["--pools", "40", "80", "--steps", "3"])
    head, _, *rows = capsys.readouterr().out.splitlines()
    assert head == "| selector | 40 prompts, µs | 80 prompts, µs | state, bytes |"
    assert [row.split(" | ")[0].removeprefix("| ") for row in rows] == list(SELECTORS)
    assert all(re.search(r"\| \d+ \| \d+ \| \d+ \|$", row) for row in rows)


def test_state_is_measured_after_the_steps_and_does_not_grow_with_the_pool():
    seconds, few = measure("max_variance", 50, 5)
    assert seconds > 0
    visited = json.dumps({"indices": [10] * 5, "variance": [0.1] * 5})
    assert few >= len(visited)
    assert measure("dopr", 5000, 5)[1] <= measure("dopr", 50, 5)[1] + 5 * 2 + 40  # longer indices alone


def test_directions_are_unit_vectors():
    assert np.linalg.norm(directions(9), axis=1) == pytest.approx(np.ones(9), abs=1e-6)


def test_rates_are_drawn_from_their_beta_distributions():
    """Beta(1, 1) has mean 1/2 and variance 1/12, Beta(2, 6) mean 1/4 and variance 1/48."""
    successes, failures = np.repeat([1.0, 2.0], 20000), np.repeat([1.0, 6.0], 20000)
    rates = draw_success_rates(successes, failures, np.random.default_rng(0)).reshape(2, -1)
    assert rates.mean(axis=1) == pytest.approx([1 / 2, 1 / 4], abs=0.01)
    assert rates.var(axis=1) == pytest.approx([1 / 12, 1 / 48], abs=0.002)


def test_every_selector_and_every_option_of_dopr_is_documented():
    page = DOCS.read_text()
    assert all(f"| `{name}` |" in page for name in built_in())
    options = [option for option in inspect.signature(Selector).parameters if option != "setup"]
    assert all(f"| `{option}` |" in page for option in options)
