"""Bounds by name, and a theorem of one's own: one function and one line of configuration, from there to the figure."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dopr.bounds.bound import KINDS, Constants, built_in, find_bound
from dopr.config.schema import Config, ConfigError
from dopr.errors import UserError
from dopr.workflow.preflight import check_bounds
from dopr.workflow.rule_params import RuleParams
from fixture_results import config_file, make_results

SCRIPTS = Path(__file__).parents[1] / "scripts"
CONSTANTS = Constants(base=0.25, coverage=4, divergence=0.5, inverse_kl=math.inf, delta=0.05, prompts=100)
ACCURACIES = np.array([0.3, 0.6, 0.9])


MINE = f"{Path(__file__).parent}/own_bound.py:my_theorem"


# --- by name ---


@pytest.mark.parametrize("name", built_in())
def test_each_bound_of_the_package_counts_and_grows_with_nothing_below_zero(name):
    found = find_bound(name)(CONSTANTS, ACCURACIES)
    assert found.shape == (3,)
    assert not (found < 0).any()


def test_the_package_s_bounds_are_found_and_what_is_none_is_left_out():
    assert built_in() == ["best_of_n_suffices", "change_of_measure", "regularised_bandit", "sharpening"]


def test_each_bound_of_the_package_declares_what_it_counts():
    assert {name: find_bound(name).kind for name in built_in()} == {
        "best_of_n_suffices": "enough for another learner",
        "change_of_measure": "needed to detect",
        "regularised_bandit": "needed to learn",
        "sharpening": "needed to learn",
    }


def test_what_is_needed_to_learn_rises_with_the_accuracy_and_what_is_needed_to_detect_falls():
    accuracies = np.linspace(0.51, 0.9999, 500)
    for name in built_in():
        bound = find_bound(name)
        changes = np.diff(bound(CONSTANTS, accuracies))
        changes = changes[~np.isnan(changes)]
        assert ((changes < 0) if bound.kind == "needed to detect" else (changes > 0)).all()


@pytest.mark.parametrize("kind", KINDS)
def test_a_bound_of_one_s_own_declares_its_kind(kind, tmp_path):
    (tmp_path / "theorem.py").write_text(f"KIND = {kind!r}\n\n\ndef least(c, a):\n    return a\n")
    assert find_bound(f"{tmp_path}/theorem.py:least").kind == kind


def test_without_a_kind_a_bound_counts_as_needed_to_learn_and_an_unknown_one_is_refused(tmp_path):
    assert find_bound(MINE).kind == "needed to learn"
    (tmp_path / "theorem.py").write_text("KIND = 'need to learn'\n\n\ndef least(c, a):\n    return a\n")
    with pytest.raises(UserError, match="KIND is 'need to learn'; did you mean 'needed to learn'"):
        find_bound(f"{tmp_path}/theorem.py:least")


def test_options_follow_the_name():
    one, many = find_bound("sharpening"), find_bound("sharpening?dimension=50")
    np.testing.assert_allclose(many(CONSTANTS, ACCURACIES), 50 * one(CONSTANTS, ACCURACIES))
    assert (one.title, many.title) == ("sharpening", "sharpening, dimension 50")
    np.testing.assert_allclose(
        find_bound("sharpening?constant=0.5")(CONSTANTS, ACCURACIES), one(CONSTANTS, ACCURACIES) / 2
    )
    assert find_bound(f"{MINE}?scale=3").title == "my theorem, scale 3"
    assert find_bound("dopr.bounds.sharpening:bound").title == "bound"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("sharpenin", "'sharpenin' is no bound; did you mean 'sharpening'"),
        ("section", "'section' is no bound"),
        ("absent.py:least", "'absent.py:least' cannot be loaded .*; give FILE.py:NAME or MODULE:NAME"),
        ("sharpening?dimensions=3", "takes no option 'dimensions'; did you mean 'dimension'"),
        ("sharpening?dimension=many", "dimension=many is no number"),
        ("change_of_measure?delta=1", "takes no option 'delta'; known are none"),
    ],
)
def test_what_is_no_bound_is_named(name, message):
    with pytest.raises(UserError, match=message):
        find_bound(name)


def test_a_bound_that_gives_nonsense_is_named(tmp_path):
    (tmp_path / "wrong.py").write_text("def one(c, a):\n    return 1.0\n\n\ndef less(c, a):\n    return -a\n")
    with pytest.raises(UserError, match=r"bound .*wrong.py:one: gave shape \(\) for accuracies of shape \(3,\)"):
        find_bound(f"{tmp_path}/wrong.py:one")(CONSTANTS, ACCURACIES)
    with pytest.raises(UserError, match=r"bound .*wrong.py:less: gave -0.9; counts are not below 0"):
        find_bound(f"{tmp_path}/wrong.py:less")(CONSTANTS, ACCURACIES)


# --- one's own, from a line of configuration to the figure ---


def test_one_line_of_configuration_reaches_the_figure(raw, tmp_path):
    raw["complexity"]["bounds"]["prompts"] = [MINE]  # the line
    check_bounds(Config.parse(raw))
    root = make_results(tmp_path / "results", methods=("grpo", "one_shot"), seeds=(0, 1))
    complexity = {"pools": ["easy"], "methods": {1: "one_shot", "all": "grpo"}, "bounds": raw["complexity"]["bounds"]}
    config = config_file(tmp_path / "config.json", methods=["grpo"], seeds=[0, 1], complexity=complexity)
    command = [sys.executable, SCRIPTS / "figure.py", "complexity", "--config", config, "--results", root]
    done = subprocess.run([*command, "--output", tmp_path / "figure"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    frame = pd.read_csv(tmp_path / "figure.csv")
    mine = frame[(frame["series"] == "my theorem") & (frame["source"] == "easy")]
    assert set(mine["axis"]) == {"prompts"}
    assert ((mine["low"] <= mine["count"]) & (mine["count"] <= mine["high"])).all()
    base = frame.loc[(frame["kind"] == "final") & (frame["prompts"] == 0) & (frame["seed"] == "mean"), "share"].iloc[0]
    assert (mine.loc[mine["share"] < base, "count"] == 0).all()
    assert (mine.loc[mine["share"] > base, "count"] > 0).all()
    assert (tmp_path / "figure.png").read_bytes().startswith(b"\x89PNG")


def test_another_content_of_the_file_draws_the_figure_again_and_trains_nothing(raw, tmp_path):
    file = tmp_path / "theorem.py"
    raw["complexity"]["bounds"]["rollouts"] = [f"{file}:least"]
    found = []
    for factor in (1, 2):
        file.write_text(f"def least(constants, accuracy):\n    return {factor} * accuracy\n")
        jobs = RuleParams(Config.parse(raw))
        found.append((jobs.figure("complexity"), jobs.train("grpo"), jobs.figure("profile_easy")))
    assert found[0][0] != found[1][0]
    assert found[0][1:] == found[1][1:]


def test_a_bound_in_the_configuration_that_cannot_be_found_costs_one_line(raw):
    raw["complexity"]["bounds"]["rollouts"] = ["sharpenin"]
    message = "^complexity.bounds.rollouts: 'sharpenin' is no bound; did you mean 'sharpening'?"
    with pytest.raises(ConfigError, match=message):
        check_bounds(Config.parse(raw))
