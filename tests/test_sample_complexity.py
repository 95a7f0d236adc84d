"""Sample complexity: the figure with the regions that bounds exclude, and the table of bounds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_rgb

from dopr.analysis.comparison import Comparison, compare
from dopr.analysis.results import Results
from dopr.bounds.bound import find_bound
from dopr.bounds.measured_constants import base_coverage
from dopr.config.schema import Config
from dopr.errors import UserError
from dopr.figures import complexity
from dopr.figures.style import PALETTE
from dopr.tables.bounds import bounds_table, reading
from fixture_results import config_file, make_results

LADDER = [(1, "one_shot"), (4, "top_4"), (None, "grpo")]
METHODS = [method for _, method in LADDER]
SEEDS = [0, 1, 2]
SCRIPTS = Path(__file__).parent.parent / "scripts"
SHARPENING = find_bound("sharpening?dimension=1&constant=1")
BOUNDS = {
    "prompts": [find_bound("best_of_n_suffices")],
    "rollouts": [find_bound("change_of_measure"), SHARPENING, find_bound("regularised_bandit")],
}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_results(tmp_path_factory.mktemp("results"), methods=tuple(METHODS))


@pytest.fixture(scope="module")
def results(root) -> Results:
    return Results(root)


@pytest.fixture(scope="module")
def comparison(results) -> Comparison:
    return compare(results, "easy", METHODS, SEEDS, 200)


@pytest.fixture(scope="module")
def frame(results, comparison) -> pd.DataFrame:
    return complexity.collect(results, [comparison], LADDER, BOUNDS, 0.05)


@pytest.fixture
def options(tmp_path) -> list[str]:
    path = config_file(tmp_path / "config.json", pools=["easy"], methods=["grpo"], seeds=SEEDS)
    return ["--config", str(path)]


def drawn(axes: Axes, x: pd.Series, y: pd.Series) -> bool:
    """Whether a panel has a line through exactly these points."""
    data = [np.column_stack([np.asarray(part, dtype=float) for part in line.get_data()]) for line in axes.get_lines()]
    wanted = np.column_stack([x, y])
    return any(line.shape == wanted.shape and np.allclose(line, wanted) for line in data)


def regions(panel: Axes) -> list[PolyCollection]:
    """The areas that are shaded in the colour of what bounds exclude."""
    areas = [area for area in panel.collections if isinstance(area, PolyCollection)]
    return [area for area in areas if tuple(area.get_facecolor()[0][:3]) == to_rgb(PALETTE[2])]


# --- the figure ---


def test_complexity_holds_every_seed_and_the_base(comparison, frame):
    rows = frame[(frame["kind"] == "final") & (frame["source"] == "easy")]
    assert list(rows.loc[rows["seed"] == "mean", "prompts"]) == [0, 1, 4, 24]  # all of a pool of 24
    curve = comparison.curve("top_4")
    seeds = rows[(rows["prompts"] == 4) & (rows["seed"] != "mean")]
    np.testing.assert_allclose(seeds["share"], curve.by_seed[:, -1])
    assert rows.loc[(rows["prompts"] == 0) & (rows["seed"] == "mean"), "share"].item() == pytest.approx(
        comparison.curve("grpo").mean[0]
    )
    assert (rows.loc[rows["prompts"] > 0, "rollouts"] == 7680).all()


def test_complexity_draws_every_curve_and_the_region_that_a_bound_excludes(comparison, frame):
    bound = frame[(frame["kind"] == "bound") & (frame["series"] == SHARPENING.title)]
    cover = base_coverage(comparison, "grpo").value
    high = bound[bound["share"] > 0.51]
    np.testing.assert_allclose(high["count"], cover / (2 * (1 - high["share"])) ** 2)
    assert (bound.loc[bound["share"] < 0.49, "count"] == 0).all()
    assert set(bound["status"]) == {"excluded"}
    panel = complexity.draw(frame).axes[1]
    counted = bound[bound["count"] > 0]
    assert drawn(panel, counted["count"], counted["share"])
    region = regions(panel)[0].get_paths()[0]
    low, high = np.interp([0.7, 0.9], counted["share"], counted["count"])
    assert region.contains_point((low / 2, 0.7))
    assert region.contains_point((high / 2, 0.9))
    assert not region.contains_point((2 * low, 0.7))
    assert not region.contains_point((low / 2, 0.4))
    curve = frame[(frame["kind"] == "curve") & (frame["prompts"] == 4) & (frame["rollouts"] > 0)]
    for seed in ("mean", "0", "1", "2"):
        assert drawn(panel, *(curve.loc[curve["seed"] == seed, name] for name in ("rollouts", "share")))


def test_only_bounds_on_learning_that_say_something_are_drawn_and_labelled(comparison, frame):
    assert set(frame["series"].dropna()) & {"change of measure", "best of n suffices"} == set()
    by_prompts, by_rollouts = complexity.draw(frame).axes
    assert [text.get_text() for text in by_prompts.texts] == ["base policy"]
    assert not regions(by_prompts)
    texts = [text.get_text() for text in by_rollouts.texts]
    assert texts == ["base policy", "excluded: sharpening bound,\ndimension 1,\nconstant 1"]
    assert len(regions(by_rollouts)) == 1


def test_a_bound_that_runs_have_crossed_excludes_nothing(results, comparison, frame):
    bounds = {"prompts": [], "rollouts": [find_bound("sharpening?dimension=1000")]}
    frame = complexity.collect(results, [comparison], LADDER, bounds, 0.05)
    panel = complexity.draw(frame).axes[1]
    assert panel.texts[-1].get_text() == "crossed by the runs: sharpening bound,\ndimension 1000"
    assert not regions(panel)


def test_what_a_bound_does_to_the_measured_points():
    counts, spent = np.array([0.0, 2.0, 3.0]), np.array([5.0, 5.0])
    assert complexity.status_of(counts, np.array([0.0, 3.0]), spent) == "excluded"
    assert complexity.status_of(counts, np.array([0.0, 6.0]), spent) == "crossed by the runs"
    assert complexity.status_of(counts, np.array([0.0, 0.0]), spent) == "vacuous"
    assert complexity.status_of(counts, np.array([np.nan, np.nan]), spent) == "does not apply"
    assert complexity.status_of(np.full(3, np.nan), np.full(2, np.nan), spent) == "constants not known"


def test_without_a_pool_there_is_nothing_to_draw(results, tmp_path):
    config = config_file(tmp_path / "config.json", complexity={"pools": []})
    with pytest.raises(UserError, match=r"complexity\.pools: is empty; name a pool"):
        complexity.make(results, Config.model_validate_json(config.read_text()), "")


# --- the table ---


ROLLOUT_BOUNDS = ["change_of_measure", "sharpening?dimension=1", "sharpening?dimension=100", "regularised_bandit"]


def test_bounds_table_puts_the_bounds_below_what_was_spent_where_they_must_be(results, comparison):
    bounds = {
        "rollouts": [find_bound(name) for name in ROLLOUT_BOUNDS],
        "prompts": [find_bound("best_of_n_suffices")],
    }
    numbers = bounds_table(results, [comparison], bounds, 0.05).numbers
    grpo = numbers[numbers["method"] == "grpo"].set_index("bound")
    assert len(grpo) == len(ROLLOUT_BOUNDS) + 1 + 3
    told = grpo.loc["change of measure"]
    assert 0 < told["low"] <= told["count"] <= told["high"] < told["spent"] == 7680
    one, many = grpo.loc["sharpening, dimension 1"], grpo.loc["sharpening, dimension 100"]
    for column in ("count", "low", "high"):
        assert many[column] == pytest.approx(100 * one[column])
    assert grpo.loc["regularised bandit", "reading"] == "does not apply here"
    assert told["kind"] == "needed to detect"
    assert one["kind"] == grpo.loc["regularised bandit", "kind"] == "needed to learn"
    enough = grpo.loc["best of n suffices"]
    assert (enough["kind"], enough["unit"]) == ("enough for another learner", "prompts")
    assert enough["spent"] == results.ledger("easy", "grpo", 0)["prompt"].nunique() == 24
    informative = grpo.loc["one informative group"]
    assert informative["low"] < informative["count"] < informative["high"]
    assert informative["count"] > 8


def test_bounds_table_has_the_cost_of_a_gradient_and_the_relative_budget(results, comparison):
    table = bounds_table(results, [comparison], {}, 0.05)
    grpo = table.numbers[table.numbers["method"] == "grpo"].set_index("bound")
    step = grpo.loc["a step's gradient, error 100 %"]
    assert 8 <= step["low"] <= step["count"] <= step["high"]
    assert step["spent"] == 128
    assert grpo.loc["relative budget", "reading"] == "deficient; no count follows"
    assert np.isnan(grpo.loc["relative budget", "count"])
    assert next(row[6:9] for row in table.rows if row[2] == "relative budget") == ["–", "–", "–"]


def test_what_a_bound_says_beside_what_was_spent():
    assert reading(10, 2000) == "holds, 200.0 times below what was spent"
    assert reading(3000, 2000) == "above what was spent"
    assert reading(0, 2000) == "vacuous: excludes nothing"
    assert reading(np.nan, 2000) == "does not apply here"
    assert reading(10, 2000, "enough for another learner") == "at least as many were used"
    assert reading(3000, 2000, "enough for another learner") == "fewer were used"


def test_the_bounds_program(root, options, tmp_path):
    output = tmp_path / "tables"
    command = [sys.executable, SCRIPTS / "table.py", "bounds", *options, "--results", root, "--output", output]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert {path.name for path in output.iterdir()} == {"bounds.csv", "bounds.md", "bounds.tex", "bounds.html"}
