"""Figures and tables of what papers print: every number is drawn where it belongs, ours beside it where it is of the
same thing, and all of it without a run."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dopr.analysis.comparison import compare
from dopr.analysis.display_names import dataset_name, measure_name
from dopr.analysis.paper_numbers import conflicts, published
from dopr.analysis.results import Results
from dopr.analysis.rollouts_to_target import rollouts_to_target
from dopr.analysis.run_numbers import run_numbers
from dopr.analysis.saving_ratio import saving_ratio
from dopr.figures import points, steps
from dopr.figures.published import FIGURES, collect, draw
from dopr.figures.style import COLUMN, PAGE, save
from dopr.tables.claims import claimed, claims_table
from dopr.tables.published import NOT_RUN, conflict_table, published_table
from fixture_results import BENCHMARKS, config_file, make_results

ROOT = Path(__file__).parents[1]
MODEL = "Qwen/Qwen2.5-Math-1.5B"
NONE = pd.DataFrame(columns=["model", "training", "method", "measure", "step", "value", "low", "high", "seeds"])


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """A paper's overlay, run: pool and method are named as the paper's set and method are."""
    return make_results(tmp_path_factory.mktemp("results"), pools=("pi1",), benchmarks=("math500", "aime24"))


@pytest.fixture(scope="module")
def ours(root) -> pd.DataFrame:
    return run_numbers(Results(root), MODEL, [f"pi1/grpo/{seed}" for seed in (0, 1, 2)], 100)


# --- our numbers ---


def test_own_numbers_are_those_of_the_files(root, ours):
    assert set(ours["model"]) == {"Qwen2.5-Math-1.5B"}
    last = ours[ours["step"] == ours["step"].max()].set_index("measure")
    found = []
    for seed in (0, 1, 2):
        frame = Results(root).completions("pi1", "grpo", seed)
        rows = frame[(frame["step"] == frame["step"].max()) & (frame["mode"] == "sampled")]
        found.append((rows.loc[rows["benchmark"] == "math500", "verdict"] == "correct").mean())
    assert last.loc["math500", "value"] == pytest.approx(100 * np.mean(found))
    assert last.loc["average", "value"] == pytest.approx(last.loc[["math500", "aime24"], "value"].mean())
    assert (last["low"] < last["value"]).all()
    assert (last["value"] < last["high"]).all()
    assert set(last["seeds"]) == {3}


def test_the_starting_policy_is_there_once(root):
    runs = [f"pi1/{method}/{seed}" for method in ("grpo", "dopr") for seed in (0, 1)]
    frame = run_numbers(Results(root), MODEL, runs, 20)
    base = frame[frame["training"] == "base"]
    assert sorted(base["measure"]) == ["aime24", "average", "math500"]
    assert set(base["method"]) == {"base"}
    assert set(base["step"]) == {0}
    assert not frame.duplicated(["training", "method", "measure", "step"]).any()


def test_without_runs_there_are_no_own_numbers(tmp_path):
    assert run_numbers(Results(tmp_path), MODEL, [], 20).empty
    output = tmp_path / "own.csv"
    subprocess.run([sys.executable, ROOT / "scripts/own_numbers.py", "--output", output], check=True)
    assert list(pd.read_csv(output).columns) == list(NONE.columns)


# --- figures ---


@pytest.fixture(scope="module")
def drawn() -> dict:
    return {name: draw(collect(name)) for name in FIGURES}


def marks(figure) -> int:
    """Markers drawn, of single points and of lines."""
    found = [line for axes in figure.axes for line in axes.get_lines() if line.get_marker() not in ("None", "")]
    return sum(len(np.atleast_1d(line.get_xdata())) for line in found)


@pytest.mark.parametrize("name", FIGURES)
def test_every_number_of_a_figure_is_drawn(drawn, name):
    frame = collect(name)
    with_step = frame["step"].notna().any()
    lonely = frame.groupby("series")["step"].transform(lambda steps: steps.isna().all()) if with_step else False
    assert marks(drawn[name]) == len(frame) - int(np.sum(lonely))
    assert not frame["value"].isna().any()
    assert "ours" not in set(frame["status"])


def test_figures_show_all_that_is_printed_about_accuracy():
    """Nothing is left out by a filter: the numbers of these files are all in the figure of the same name."""
    for name in ("accuracy", "arc", "categories", "loss_terms", "format_reward", "wrong_labels", "boxed", "claims"):
        printed = published("main" if name == "accuracy" else name)
        assert sorted(collect(name)["value"]) == sorted(printed["value"])
    assert len(collect("models")) == 7 + (published("models")["measure"] == "average").sum()
    assert len(collect("single_examples")) == len(published("single_examples"))
    assert len(collect("dopr")) == 5 + 5 * 3 * 2
    assert len(collect("in_context")) == 8 + 2 * 2 * 2
    assert len(collect("entropy_only")) == 3 * 7 * 2


def test_a_point_stands_at_its_value_in_its_row(drawn):
    axes = drawn["accuracy"].axes[0]
    rows = [text.get_text() for text in axes.get_yticklabels()]
    points = {line.get_ydata()[0]: line.get_xdata()[0] for line in axes.get_lines() if line.get_marker() == "o"}
    assert points[rows.index(dataset_name("pi1", "grpo"))] == 72.8
    assert points[rows.index("base policy")] == 36.0
    assert axes.get_title(loc="left") == "(a) MATH500"


def test_numbers_by_others_are_hollow(drawn):
    first = drawn["dopr"].axes[0]
    faces = [line.get_markerfacecolor() for line in first.get_lines() if line.get_marker() == "o"]
    assert faces.count("white") == 1
    words = [text.get_text() for text in drawn["dopr"].texts] + [drawn["dopr"]._supxlabel.get_text()]
    assert any("Hollow: by others" in text for text in words)


def test_figures_are_as_wide_as_columns_or_pages_and_letters_do_not_overlap(drawn):
    for name, figure in drawn.items():
        assert figure.get_size_inches()[0] in (COLUMN, PAGE)
        figure.canvas.draw()
        for axes in figure.axes:
            boxes = [text.get_window_extent() for text in axes.get_yticklabels() if text.get_text()]
            boxes += [axes._left_title.get_window_extent()]
            for i, box in enumerate(boxes):
                assert not any(box.overlaps(other) for other in boxes[i + 1 :]), name
        titles = [axes._left_title.get_window_extent() for axes in figure.axes if axes.get_title(loc="left")]
        for i, box in enumerate(titles):
            assert not any(box.overlaps(other) for other in titles[i + 1 :]), name
            assert box.x1 <= figure.bbox.x1 + 1, name


def test_ours_stands_beside_what_is_of_the_same_thing(ours):
    frame = collect("accuracy", ours)
    own_rows = frame[frame["status"] == "ours"]
    assert set(own_rows["row"]) == {"base policy", dataset_name("pi1", "grpo")}
    assert set(own_rows["panel"]) == {"MATH500", "AIME 2024", "average"}
    last = ours[(ours["training"] == "pi1") & (ours["measure"] == "math500")].iloc[-1]
    shown = own_rows[(own_rows["training"] == "pi1") & (own_rows["panel"] == "MATH500")].iloc[0]
    assert shown["value"] == last["value"]
    assert "ours" in points.note(frame)
    diamonds = [line for line in draw(frame).axes[0].get_lines() if line.get_marker() == "D"]
    assert len(diamonds) == 2
    assert len(collect("loss_terms", ours)) == len(collect("loss_terms"))  # of a method of another name


def test_ours_over_steps_are_all_checkpoints(ours):
    frame = collect("boxed", ours)
    own_rows = frame[frame["status"] == "ours"]
    of_run = ours[(ours["training"] == "pi1") & (ours["measure"] == "math500")]
    assert list(own_rows["step"]) == list(of_run["step"])
    labels = [line.get_label() for line in steps.draw(frame).axes[0].get_lines()]
    assert "MATH500, ours" in labels


def test_files_have_embedded_fonts_and_the_same_bytes_each_time(tmp_path, drawn):
    for folder in ("once", "again"):
        frame = collect("arc")
        save(draw(frame), frame, tmp_path / folder / "arc")
    for kind in ("pdf", "png", "csv"):
        once, again = ((tmp_path / folder / f"arc.{kind}").read_bytes() for folder in ("once", "again"))
        assert once == again
    content = (tmp_path / "once/arc.pdf").read_bytes()
    assert b"/FontFile2" in content  # the TrueType outlines are in the file
    assert b"/Type3" not in content
    back = pd.read_csv(tmp_path / "once/arc.csv", keep_default_na=False, na_values={"step": "", "low": "", "high": ""})
    assert marks(draw(back)) == marks(drawn["arc"])


def test_names_of_sets_and_measures():
    assert dataset_name("pi1_pi2_pi13_pi1209", "grpo") == "π₁, π₂, π₁₃, π₁₂₀₉"
    assert dataset_name("dsr_sub", "format") == "DSR-sub (1,209), format reward"
    assert dataset_name("base", "base") == "base policy"
    assert measure_name("math500: Geometry") == "Geometry"
    assert measure_name("average") == "average"


def test_every_figure_has_a_rule():
    text = (ROOT / "rules/published.smk").read_text()
    listed = re.findall(r'"(\w+)",', text.partition("PUBLISHED_FIGURES = [")[2].partition("]")[0])
    assert listed == list(FIGURES)


def test_the_program_writes_its_figure(tmp_path, ours):
    ours.to_csv(tmp_path / "ours.csv", index=False)
    command = [sys.executable, ROOT / "scripts/figure.py", "published/accuracy", "--output", tmp_path / "figure"]
    done = subprocess.run([*command, "--ours", tmp_path / "ours.csv"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "ours" in set(pd.read_csv(tmp_path / "figure.csv")["status"])
    assert (tmp_path / "figure.pdf").is_file()


# --- tables ---


def test_without_runs_every_result_says_so():
    table = published_table(NONE)
    assert {row[8] for row in table.rows} == {NOT_RUN}
    assert len(table.rows) == 619  # all but the claims, the statements, and the two states of the starting policy
    row = next(row for row in table.rows if row[1:5] == ["Qwen2.5-Math-1.5B", "pi13", "grpo", "average"])
    assert row[0] == "2504.20571, Table 8"
    assert row[7] == "35.7"
    shown = {(row[0], row[4]): row[7] for row in table.rows if row[2:4] == ["pi1", "grpo"]}
    assert shown["2504.20571, Table 3", "best_step"] == "1860"
    assert shown["2504.20571, Table 15, step 500", "math500"] == "70.4"


def test_a_difference_has_its_interval_and_a_verdict(ours):
    numbers = published_table(ours).numbers
    found = numbers[(numbers["file"] == "main") & (numbers["training"] == "pi1") & (numbers["measure"] == "math500")]
    row = found.iloc[0]
    last = ours[(ours["training"] == "pi1") & (ours["measure"] == "math500")].iloc[-1]
    assert row["difference"] == pytest.approx(last["value"] - 72.8)
    assert row["low"] == pytest.approx(last["low"] - 72.8)
    assert row["within_noise"] == ("yes" if last["low"] <= 72.8 <= last["high"] else "no")
    best = numbers[(numbers["file"] == "best_per_benchmark") & numbers["ours"].notna()]
    assert set(best["training"]) == {"pi1"}
    highest = ours[ours["training"] == "pi1"].groupby("measure")["value"].max()
    assert dict(zip(best["measure"], best["ours"], strict=True)) == pytest.approx(
        {name: highest[name] for name in best["measure"]}
    )


def test_a_verdict_by_hand():
    ours = pd.DataFrame(
        [
            ["Qwen2.5-Math-1.5B", "pi1", "grpo", "math500", 60, 70.0, 68.0, 71.5, 3],
            ["Qwen2.5-Math-1.5B", "pi1", "grpo", "math500", 100, 72.0, 70.0, 74.0, 3],
        ],
        columns=NONE.columns,
    )
    rows = {(row[0], row[4]): row[8:] for row in published_table(ours).rows if row[8] != NOT_RUN}
    assert rows["2504.20571, Table 8", "math500"] == ["72.0", "-0.8", "[-2.8, +1.2]", "yes"]
    assert rows["2504.20571, Table 15, step 60", "math500"] == ["70.0", "+0.2", "[-1.8, +1.7]", "yes"]
    assert rows["2504.20571, Table 9", "math500"] == ["72.0", "-2.0", "[-4.0, +0.0]", "yes"]
    assert rows["2504.20571, Table 3", "math500"] == ["72.0", "-2.0", "[-4.0, +0.0]", "yes"]
    assert len(rows) == 4


def test_conflicts_are_a_line_each():
    assert len(conflict_table().rows) == len(conflicts())


def test_claims_are_of_the_method_and_its_variants():
    assert claimed("dopr") == claimed("dopr_reuse") == "nearly 10× rollouts, against standard GRPO (second-hand)"
    assert claimed("greso") == "up to 2.4× rollouts, against dynamic sampling; up to 2× time, against dynamic sampling"
    assert claimed("random_one") == ""


def test_measured_savings_are_by_each_cost(tmp_path):
    root = make_results(tmp_path, methods=("grpo", "dopr"))
    results = Results(root)
    comparison = compare(results, "easy", ["grpo", "dopr"], [0, 1, 2], 100)
    table = claims_table(results, [comparison], [0.6], "grpo")
    (row,) = table.numbers.to_dict("records")
    curves = [comparison.curve(method) for method in ("grpo", "dopr")]
    assert row["rollouts_saved"] == pytest.approx(
        saving_ratio(*(rollouts_to_target(curve, 0.6) for curve in curves)).value
    )
    # Every rollout of a method takes as many tokens and, but for noise, as long; wall time is 1.3 times CPU time.
    assert row["tokens_saved"] == pytest.approx(row["rollouts_saved"], rel=0.1)
    assert row["wall_seconds_saved"] == pytest.approx(row["cpu_seconds_saved"])
    assert math.isnan(row["gpu_seconds_saved"])  # no GPU was held
    assert table.rows[0][3] == "nearly 10× rollouts, against standard GRPO (second-hand)"
    assert set(BENCHMARKS) == set(comparison.benchmarks)


def test_the_programs_write_their_tables(tmp_path, ours):
    ours.to_csv(tmp_path / "ours.csv", index=False)
    program = [sys.executable, ROOT / "scripts/table.py", "published", "--ours", tmp_path / "ours.csv"]
    subprocess.run([*program, "--output", tmp_path / "tables"], check=True)
    root = make_results(tmp_path / "results", methods=("grpo", "dopr"))
    config = config_file(tmp_path / "config.json", pools=["easy"], methods=["grpo", "dopr"], seeds=[0, 1])
    program = [sys.executable, ROOT / "scripts/table.py", "claims", "--config", config, "--results", root]
    subprocess.run([*program, "--output", tmp_path / "tables"], check=True)
    names = {path.name for path in (tmp_path / "tables").iterdir()}
    tables = ("published", "conflicts", "claims_seconds")
    assert names == {f"{table}.{suffix}" for table in tables for suffix in ("csv", "md", "tex", "html")}
