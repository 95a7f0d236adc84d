"""Every figure: three files, the same bytes again, one style, and programs that name what is missing."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import matplotlib as mpl
import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

import dopr
from dopr.analysis.comparison import compare
from dopr.analysis.results import Results
from dopr.bounds.bound import find_bound
from dopr.figures import (
    acquisition,
    complexity,
    curves,
    informative,
    performance_profile,
    profile,
    ranking,
    replay,
    responses,
    selection,
    training,
)
from dopr.figures.style import COLUMN, looks, new_figure, save
from fixture_results import config_file, make_results

METHODS = ["grpo", "random_one", "dopr", "dopr_reuse"]
LADDER = [(1, "one_shot"), (4, "top_4"), (None, "grpo")]
SEEDS = [0, 1, 2]
ROLLOUT_BOUNDS = ["change_of_measure", "sharpening?dimension=1", "regularised_bandit"]
BOUNDS = {"prompts": [find_bound("best_of_n_suffices")], "rollouts": [find_bound(name) for name in ROLLOUT_BOUNDS]}
MODULES = (
    training,
    responses,
    acquisition,
    profile,
    performance_profile,
    selection,
    complexity,
    informative,
    ranking,
    replay,
)
SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    methods = (*METHODS, "one_shot", "top_4")
    return make_results(tmp_path_factory.mktemp("results"), pools=("easy", "hard"), methods=methods)


@pytest.fixture(scope="module")
def results(root) -> Results:
    return Results(root)


@pytest.fixture(scope="module")
def comparisons(results):
    return [compare(results, pool, METHODS, SEEDS, 100) for pool in ("easy", "hard")]


def lines(axes: Axes) -> list[np.ndarray]:
    """Data of the lines drawn in a panel, each of shape (points, 2)."""
    return [np.column_stack([np.asarray(part, dtype=float) for part in line.get_data()]) for line in axes.get_lines()]


def name_of(module: ModuleType) -> str:
    return module.__name__.split(".")[-1]


# --- every figure ---


def made(results: Results, comparisons) -> dict[str, tuple[Figure, pd.DataFrame]]:
    """Every figure of a small experiment with its frame."""
    ladder = [compare(results, "easy", [method for _, method in LADDER], SEEDS, 100)]
    frames = {
        "rollouts": curves.collect(results, comparisons, "rollouts"),
        "cpu": curves.collect(results, comparisons, "cpu_seconds"),
        "training": training.collect(results, ["easy", "hard"], METHODS, SEEDS),
        "responses": responses.collect(results, ["easy", "hard"], METHODS, SEEDS),
        "acquisition": acquisition.collect(results, ["easy", "hard"], ["dopr", "dopr_reuse"], SEEDS),
        "profile": profile.collect(results, "easy"),
        "performance_profile": performance_profile.collect(comparisons, 100),
        "selection": selection.collect(results, "easy", METHODS, SEEDS),
        "complexity": complexity.collect(results, ladder, LADDER, BOUNDS, 0.05),
        "informative": informative.collect(results, ["easy", "hard"], METHODS, SEEDS, 100),
        "ranking": ranking.collect(results.history("easy"), list(results.history("easy"))[:3], 1),
        "replay": replay.collect(results, "easy", 4, 30, 3),
    }
    draw = {
        "rollouts": lambda frame: curves.draw(frame, "rollouts"),
        "cpu": lambda frame: curves.draw(frame, "cpu_seconds"),
        **{name_of(module): module.draw for module in MODULES},
    }
    return {name: (draw[name](frame), frame) for name, frame in frames.items()}


@pytest.fixture(scope="module")
def figures(results, comparisons) -> dict[str, tuple[Figure, pd.DataFrame]]:
    return made(results, comparisons)


@pytest.fixture(scope="module")
def written(figures, results, comparisons, tmp_path_factory) -> tuple[Path, Path]:
    """Two folders with every figure, each made from the files anew."""
    folders = tmp_path_factory.mktemp("once"), tmp_path_factory.mktemp("again")
    for folder, each in zip(folders, (figures, made(results, comparisons)), strict=True):
        for name, (figure, frame) in each.items():
            save(figure, frame, folder / name)
    return folders


def test_each_figure_is_a_pdf_a_png_and_its_numbers(written):
    names = {path.name for path in written[0].iterdir()}
    figures = {"rollouts", "cpu", *map(name_of, MODULES)}
    assert {name for name in names if name.endswith(".pdf")} == {f"{name}.pdf" for name in figures}
    assert {name for name in names if name.endswith(".png")} == {f"{name}.png" for name in figures}
    assert {name for name in names if name.endswith(".csv")} == {f"{name}.csv" for name in figures}


def test_the_same_input_gives_the_same_bytes(written):
    once, again = ({path.name: path.read_bytes() for path in folder.iterdir()} for folder in written)
    assert once == again


def test_text_in_a_pdf_stays_text(written):
    content = (written[0] / "rollouts.pdf").read_bytes()
    assert b"/TrueType" in content or b"/CIDFontType2" in content
    assert b"/Type3" not in content
    assert b"CreationDate" not in content


def test_a_figure_can_be_drawn_again_from_its_csv(written, figures):
    back = pd.read_csv(written[0] / "rollouts.csv")
    for before, after in zip(figures["rollouts"][0].axes, curves.draw(back, "rollouts").axes, strict=True):
        for one, other in zip(lines(before), lines(after), strict=True):
            np.testing.assert_allclose(one, other, atol=1e-6)
    for module in MODULES:
        again = module.draw(pd.read_csv(written[0] / f"{name_of(module)}.csv"))
        for before, after in zip(figures[name_of(module)][0].axes, again.axes, strict=True):
            assert [line.shape for line in lines(before)] == [line.shape for line in lines(after)]


# --- style ---


def test_reuse_shares_the_colour_of_its_counterpart_and_is_dashed():
    shown = looks(["grpo", "dopr", "dopr_reuse", "mine", "mine_reuse"])
    assert shown["dopr"].colour == shown["dopr_reuse"].colour
    assert shown["mine"].colour == shown["mine_reuse"].colour
    assert [shown[method].dashed for method in shown] == [False, False, True, False, True]
    assert len({shown[method].colour for method in ("grpo", "dopr", "mine")}) == 3


def test_the_style_and_the_backend_are_ours_whatever_the_user_has_set():
    with mpl.rc_context({"savefig.bbox": "tight", "axes.facecolor": "black", "font.family": "serif"}):
        new_figure(1, 1)
        assert (mpl.rcParams["savefig.bbox"], mpl.rcParams["axes.facecolor"]) == (None, "white")
        assert mpl.rcParams["font.family"] == ["DejaVu Sans"]
    script = "import dopr.figures.style, matplotlib; print(matplotlib.get_backend())"
    environment = {**os.environ, "MPLBACKEND": "module://a_notebook.backend"}
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=environment)
    assert found.stdout.lower() == "agg\n", found.stderr


def test_methods_keep_their_colour_in_every_company_and_differ_in_grey():
    usual = ["grpo", "random_one", "dopr", "max_variance_one", "one_shot"]
    assert looks(["dopr", "unheard_of"])["dopr"] == looks(usual)["dopr"]
    assert len({looks(usual)[method].marker for method in usual}) == 5
    light = [np.dot(to_rgb(looks(usual)[method].colour), (0.3, 0.59, 0.11)) for method in usual]
    assert max(light) < 0.75  # none too pale for white paper


def test_many_unknown_methods_still_get_looks():
    names = [f"method_{i}" for i in range(12)]
    assert set(looks(names)) == set(names)


def test_matplotlib_is_imported_in_figures_alone():
    package = Path(dopr.__file__).parent
    for path in package.rglob("*.py"):
        tree = ast.walk(ast.parse(path.read_text()))
        modules = {node.module or "" for node in tree if isinstance(node, ast.ImportFrom)}
        tree = ast.walk(ast.parse(path.read_text()))
        modules |= {alias.name for node in tree if isinstance(node, ast.Import) for alias in node.names}
        if any(module.split(".")[0] == "matplotlib" for module in modules):
            assert path.parent == package / "figures"
            assert not any("pyplot" in module for module in modules)


def panel(title: str) -> Figure:
    figure = new_figure(COLUMN, 1)
    figure.subplots().set_title(title)
    return figure


def test_a_figure_saved_again_has_the_same_bytes(tmp_path):
    figure = panel("a figure")
    for name in "ab":
        save(figure, pd.DataFrame({"x": [1.0]}), tmp_path / name)
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"a.{suffix}").read_bytes() == (tmp_path / f"b.{suffix}").read_bytes()


def test_text_of_a_pdf_is_of_one_font_whatever_letters_meet(tmp_path):
    save(panel("profile of difficult flags"), pd.DataFrame({"x": [1.0]}), tmp_path / "figure")
    assert (tmp_path / "figure.pdf").read_bytes().count(b"/FontName") == 1


def test_save_leaves_nothing_half_written(tmp_path):
    save(panel(""), pd.DataFrame({"x": [1 / 3]}), tmp_path / "deep" / "figure")
    assert {path.name for path in (tmp_path / "deep").iterdir()} == {"figure.pdf", "figure.png", "figure.csv"}
    assert (tmp_path / "deep/figure.csv").read_text() == "x\n0.333333\n"


# --- the programs ---


def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPTS / script, *options], capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def config(tmp_path_factory) -> Path:
    complexity = {"pools": ["easy"], "methods": {1: "one_shot", "all": "grpo"}, "bounds": {"rollouts": ROLLOUT_BOUNDS}}
    path = tmp_path_factory.mktemp("config") / "config.json"
    return config_file(path, pools=["easy", "hard"], methods=METHODS, seeds=SEEDS, complexity=complexity)


FIGURES = [
    *("accuracy_vs_rollouts", "accuracy_vs_cpu_seconds", "performance_profile", "training", "responses", "acquisition"),
    *("informative", "complexity", "selection_easy", "profile_easy", "replay_easy"),
]


@pytest.mark.parametrize("figure", FIGURES)
def test_the_program_writes_each_figure_and_names_what_is_missing(figure, root, config, tmp_path):
    options = [figure, "--config", str(config), "--output", str(tmp_path / "figure")]
    done = run("figure.py", *options, "--results", str(root))
    assert done.returncode == 0, done.stderr
    assert {path.suffix for path in tmp_path.iterdir()} == {".pdf", ".png", ".csv"}
    done = run("figure.py", *options, "--results", str(tmp_path / "nowhere"))
    assert done.returncode == 1
    assert done.stderr.startswith(f"error: {tmp_path / 'nowhere'}")
    assert "no such file" in done.stderr
    assert done.stderr.count("\n") == 1


def test_a_figure_that_does_not_exist_costs_one_line(config, tmp_path):
    done = run("figure.py", "trainig", "--config", str(config), "--output", str(tmp_path / "figure"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: there is no figure 'trainig'; did you mean 'training'?; known are ")
    assert not list(tmp_path.iterdir())
