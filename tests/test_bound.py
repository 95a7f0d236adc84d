"""Bounds by name, and a theorem of one's own: one function and one line of configuration, from there to the figure."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dopr.bounds.bound import Constants, built_in, find_bound
from dopr.bounds.published import published_constants, published_points
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


def test_options_follow_the_name():
    one, many = find_bound("sharpening"), find_bound("sharpening?dimension=50")
    np.testing.assert_allclose(many(CONSTANTS, ACCURACIES), 50 * one(CONSTANTS, ACCURACIES))
    assert (one.title, many.title) == ("sharpening", "sharpening, dimension 50")
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


def test_published_points_are_those_of_the_paper():
    points = published_points()
    small = points[points["model"] == "Qwen2.5-Math-1.5B"]
    shares = {
        "base": 0.176,
        "pi1": 0.35,
        "pi2": 0.335,
        "pi13": 0.357,
        "pi1201": 0.337,
        "pi1209": 0.335,
        "pi1_pi13": 0.366,
        "pi1_pi2_pi13_pi1209": 0.36,
        "dsr_sub": 0.359,
        "math": 0.367,
    }
    assert dict(zip(small["training"], small["share"], strict=True)) == pytest.approx(shares)
    assert list(small["examples"]) == [0, 1, 1, 1, 1, 1, 2, 4, 1209, 7500]
    large = points[points["model"] == "Qwen2.5-Math-7B"]
    assert list(large["examples"]) == [0, 1, 1, 1, 2, 4, 16, 16, 1209]
    assert list(large["share"]) == pytest.approx([0.224, 0.402, 0.385, 0.375, 0.413, 0.425, 0.402, 0.425, 0.428])


def test_published_rollouts_are_steps_of_1024():
    points = published_points()
    assert points.loc[points["training"] == "math", "rollouts"].item() == 2000 * 1024
    assert points.loc[points["training"] == "random16", "rollouts"].isna().all()
    assert points.loc[points["training"] == "base", "rollouts"].isna().all()


def test_without_any_run_the_program_draws_what_was_published(tmp_path):
    complexity = {"pools": [], "bounds": {"rollouts": ["change_of_measure"], "prompts": []}}
    config = config_file(tmp_path / "config.json", complexity=complexity)
    command = [sys.executable, SCRIPTS / "figure.py", "complexity", "--config", config, "--output", tmp_path / "figure"]
    subprocess.run(command, check=True)
    frame = pd.read_csv(tmp_path / "figure.csv")
    assert set(frame["source"]) == {"published"}
    assert len(frame[frame["kind"] == "final"]) == len(published_points())


def test_what_was_not_published_is_not_known():
    points = published_points()
    found = published_constants(points[points["model"] == "Qwen2.5-Math-1.5B"], 0.05)
    assert (found.base, found.inverse_kl) == (pytest.approx(0.176), pytest.approx(1000))
    assert np.isnan(find_bound("sharpening")(found, ACCURACIES)).all()
    told = find_bound("change_of_measure")(found, np.array([0.36]))
    # kl(.36, .176) = .36 ln(.36/.176) + .64 ln(.64/.824) = .25762 - .16173; ln(1/.12) / that
    assert told[0] == pytest.approx(2.12026 / 0.09589, rel=1e-3)
