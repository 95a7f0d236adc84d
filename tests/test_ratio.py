"""The comparison by reuse and selection: runs on several pools as one, savings over the control, costs, ceilings."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

from dopr.analysis.comparison import Comparison, compare
from dopr.analysis.costs import cumulative_cost
from dopr.analysis.results import Results
from dopr.analysis.rollouts_to_target import first_crossing, rollouts_to_target
from dopr.analysis.saving_ratio import saving_ratio
from dopr.analysis.scores import load_evaluation, pooled
from dopr.figures.ratio import ROWS, collect, draw
from dopr.files import DataError
from dopr.tables.ratio import cost_table, final_accuracy_table, ratio_table
from fixture_results import config_file, make_results
from project import ROOT

METHODS = ("grpo", "random_one", "dopr", "random_one_reuse", "dopr_reuse")
CONTROLS = {method: "random_one_reuse" if method.endswith("_reuse") else "random_one" for method in METHODS}
POOLS = ["easy", "hard"]


@pytest.fixture(scope="module")
def results(tmp_path_factory) -> Results:
    return Results(make_results(tmp_path_factory.mktemp("results"), ("easy", "hard"), METHODS, (0, 1)))


@pytest.fixture(scope="module")
def both(results) -> Comparison:
    return compare(results, "both pools", METHODS, [0, 1], 200, POOLS)


# --- several pools as one ---


def test_pooled_runs_are_those_of_each_pool_in_order(results):
    parts = [load_evaluation(results, pool, "dopr", [0, 1]) for pool in POOLS]
    joined = pooled("both", parts)
    assert joined.runs == ["easy/0", "easy/1", "hard/0", "hard/1"]
    np.testing.assert_array_equal(joined.correct, np.concatenate([part.correct for part in parts]))
    assert [part.runs for part in parts] == [["0", "1"], ["0", "1"]]


def test_the_mean_over_pooled_runs_is_the_mean_of_the_pools(results, both):
    alone = [compare(results, pool, ["dopr"], [0, 1], 10).curve("dopr").mean for pool in POOLS]
    np.testing.assert_allclose(both.curve("dopr").mean, np.mean(alone, axis=0))


def test_runs_that_were_evaluated_differently_are_not_pooled(results, tmp_path):
    other = Results(make_results(tmp_path, ("easy",), ("dopr",), (0,), questions=4))
    parts = [load_evaluation(results, "easy", "dopr", [0]), load_evaluation(other, "easy", "dopr", [0])]
    with pytest.raises(DataError, match="dopr: its runs on easy and easy differ in checkpoints, questions or samples"):
        pooled("both", parts)


# --- tables ---


def test_savings_are_over_the_reference_and_over_the_control_of_equal_reuse(both):
    table = ratio_table([both], [0.5], "grpo", CONTROLS).numbers.set_index("method")
    at = {method: rollouts_to_target(both.curve(method), 0.5) for method in METHODS}
    assert table.loc["dopr_reuse", "saving"] == saving_ratio(at["grpo"], at["dopr_reuse"]).value
    assert table.loc["dopr_reuse", "over_control"] == saving_ratio(at["random_one_reuse"], at["dopr_reuse"]).value
    assert table.loc["dopr", "over_control_low"] == saving_ratio(at["random_one"], at["dopr"]).low
    assert pd.isna(table.loc["grpo", "saving"])
    assert pd.isna(table.loc["random_one", "over_control"])
    assert (table["runs"] == 4).all()


def test_ceilings_are_the_last_checkpoints_and_their_difference_to_the_reference(both):
    table = final_accuracy_table([both], "grpo").numbers.set_index("method")
    last, end = both.curve("dopr_reuse"), both.curve("grpo")
    assert table.loc["dopr_reuse", "accuracy"] == last.mean[-1]
    assert table.loc["dopr_reuse", "difference"] == pytest.approx(last.mean[-1] - end.mean[-1])
    assert table.loc["dopr_reuse", "less"] <= table.loc["dopr_reuse", "difference"] <= table.loc["dopr_reuse", "more"]
    assert (table["best"] >= table["accuracy"]).all()
    assert table.loc["grpo", ["difference", "less", "more"]].tolist() == [0, 0, 0]


def test_costs_are_crossings_of_the_mean_curve_in_each_unit(results, both):
    table = cost_table(results, [both], [0.5, 0.99]).numbers.set_index(["target", "method"])
    places = cumulative_cost(results, both.evaluations["dopr"], "updates").mean(axis=0)
    assert table.loc[(0.5, "dopr"), "updates"] == first_crossing(places, both.curve("dopr").mean, 0.5)
    assert table.loc[0.99, ["tokens", "updates", "cpu_seconds"]].isna().all().all()


def test_updates_at_a_checkpoint_are_those_of_its_step(results):
    evaluation = load_evaluation(results, "easy", "grpo", [0])
    metrics = results.metrics("easy", "grpo", 0).set_index("step")["updates"]
    found = cumulative_cost(results, evaluation, "updates")[0]
    assert found.tolist() == [0.0, *[float(metrics[step]) for step in evaluation.steps[1:]]]


# --- the figure ---


def test_the_reference_is_in_both_rows_and_every_other_method_in_one(results, both):
    frame = collect(results, [both], "grpo")
    rows = frame.groupby("method")["row"].unique().map(set).to_dict()
    assert rows["grpo"] == set(ROWS)
    assert rows["dopr"] == {ROWS[0]}
    assert rows["dopr_reuse"] == {ROWS[1]}
    assert set(frame.loc[frame["method"] == "dopr", "seed"]) == {"mean", "easy/0", "easy/1", "hard/0", "hard/1"}
    assert len(draw(frame).axes) == 2


def test_the_programs_write_every_table_and_the_figure(results, tmp_path):
    panels = {"panels": {"both pools": ["easy", "hard"]}, "drawn": ["grpo", "dopr", "dopr_reuse"]}
    changes = {"pools": ["easy", "hard"], "methods": METHODS, "seeds": [0, 1], "ratio": panels}
    config = config_file(tmp_path / "config.json", **changes, evaluate={"targets": [0.5], "bootstrap": 20})
    options = ["--config", str(config), "--results", str(results.root)]
    table = [sys.executable, str(ROOT / "scripts/table.py"), "ratio", "--output", str(results.root / "tables")]
    subprocess.run([*table, *options], check=True)
    figure = [sys.executable, str(ROOT / "scripts/figure.py"), "ratio", "--output", str(results.root / "figures/ratio")]
    subprocess.run([*figure, *options], check=True)
    for name in ("ratio", "ratio_ceilings", "ratio_credit", "ratio_seconds"):
        assert "both pools" in (results.root / f"tables/{name}.md").read_text()
    assert (results.root / "figures/ratio.pdf").read_bytes().startswith(b"%PDF")
