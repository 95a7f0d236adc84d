"""Tables: numbers against an independent count, their four forms, and the same bytes on a rerun."""

from __future__ import annotations

import dataclasses
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dopr.analysis.aggregates import by_benchmark, iqm
from dopr.analysis.checkpoint_selection import best, last, reported, validations
from dopr.analysis.comparison import Comparison, compare
from dopr.analysis.display_names import display_name
from dopr.analysis.results import Results
from dopr.analysis.rollouts_to_target import rollouts_to_target
from dopr.analysis.saving_ratio import saving_ratio
from dopr.errors import UserError
from dopr.files import DataError
from dopr.tables.aggregates import aggregate_table
from dopr.tables.benchmarks import benchmark_table, scores
from dopr.tables.cells import bracket, percent, saving_text
from dopr.tables.checkpoints import checkpoint_table, inflation
from dopr.tables.credit import credit_table
from dopr.tables.main import main_table
from dopr.tables.quality import majority, quality_table
from dopr.tables.significance import significance_table
from dopr.tables.targets import target_table
from dopr.tables.typeset import Table, csv_text
from fixture_results import BENCHMARKS, config_file, make_results

METHODS = ["grpo", "random_one", "dopr", "dopr_reuse"]
GROUPS = {"near": ["chain3", "chain5"], "far": ["word2"]}
SCRIPTS = Path(__file__).parent.parent / "scripts"


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_results(tmp_path_factory.mktemp("results"), methods=tuple(METHODS))


@pytest.fixture(scope="module")
def results(root) -> Results:
    return Results(root)


@pytest.fixture(scope="module")
def comparison(results) -> Comparison:
    return compare(results, "easy", METHODS, [0, 1, 2], 200)


def accuracy_in_files(
    results: Results, method: str, step: int | None, mode: str, benchmarks: tuple[str, ...] = BENCHMARKS
) -> float:
    """Accuracy counted from the files: the mean over seeds and benchmarks; step None is the last one."""
    values = []
    for seed in (0, 1, 2):
        frame = results.completions("easy", method, seed)
        rows = frame[(frame["step"] == (frame["step"].max() if step is None else step)) & (frame["mode"] == mode)]
        values += [(rows.loc[rows["benchmark"] == name, "verdict"] == "correct").mean() for name in benchmarks]
    return float(np.mean(values))


# --- the tables ---


def test_main_table_holds_what_the_files_hold(results, comparison):
    table = main_table([comparison], [comparison], GROUPS, [0.6, 0.99], "grpo", "boxed")
    numbers = table.numbers.set_index("method")
    assert list(numbers.index) == ["base", *METHODS]
    assert numbers.loc["dopr", "all"] == pytest.approx(accuracy_in_files(results, "dopr", None, "sampled"))
    assert numbers.loc["dopr", "far"] == pytest.approx(accuracy_in_files(results, "dopr", None, "sampled", ("word2",)))
    assert numbers.loc["base", "greedy"] == pytest.approx(accuracy_in_files(results, "grpo", 0, "greedy"))
    assert numbers.loc["dopr", "all_low"] < numbers.loc["dopr", "all"] < numbers.loc["dopr", "all_high"]
    curve = comparison.curve("dopr")
    before = int(np.argmax(curve.mean >= 0.6)) - 1
    assert curve.rollouts[before] < numbers.loc["dopr", "rollouts_to_0.6"] <= curve.rollouts[before + 1]
    assert np.isnan(numbers.loc["dopr", "rollouts_to_0.99"])
    row = dict(zip(table.header, table.rows[3], strict=True))
    assert row["method"] == "DoPR"
    assert row["to 0.6"] == f"{numbers.loc['dopr', 'rollouts_to_0.6']:.0f} (3/3)"
    assert row["to 0.99"] == "> 3840 (0/3)"
    assert table.rows[0][-2:] == ["–", "–"]
    assert 0 < numbers.loc["base", "unparsed"] < 1
    assert table.notes == []


@pytest.mark.parametrize("share", [0.5, 0.6, 1.0])
@pytest.mark.parametrize("extraction", ["boxed", "any"])
def test_accuracies_of_completions_that_mostly_hold_no_answer_are_named_in_one_line(comparison, share, extraction):
    evaluations = dict(comparison.evaluations)
    for method in ("grpo", "dopr"):
        unparsed = np.zeros_like(evaluations[method].faults["unparsed"])
        unparsed[:, 0 if method == "grpo" else -1] = share
        faults = {**evaluations[method].faults, "unparsed": unparsed}
        evaluations[method] = dataclasses.replace(evaluations[method], faults=faults)
    untaught = dataclasses.replace(comparison, evaluations=evaluations)
    table = main_table([untaught], [untaught], GROUPS, [0.6], "grpo", extraction, ["Another."])
    assert table.numbers.set_index("method")["unparsed"]["base"] == pytest.approx(share)
    if share == 0.5:
        assert table.notes == ["Another."]
        return
    note, other = table.notes
    remedy = {"boxed": "verify.extraction: any reads others too", "any": "look at some"}[extraction]
    assert note == (
        f"Completions without an answer where verify.extraction: {extraction} looks for one, so that accuracy does not "
        f"show what the policy knows: easy, base policy ({share:.1%}); easy, DoPR ({share:.1%}); {remedy} "
        "(docs/grading.md)."
    ).replace("%)", " %)")
    assert other == "Another."
    assert note in table.markdown()
    assert f"<p>{note}</p>" in table.html()


def test_target_table_measures_against_the_reference_and_charges_the_profile(comparison):
    table = target_table([comparison], [0.6], "grpo", {"dopr"}, {"easy": 5000})
    numbers = table.numbers.set_index("method")
    expected = saving_ratio(
        rollouts_to_target(comparison.curve("grpo"), 0.6), rollouts_to_target(comparison.curve("dopr"), 0.6)
    )
    assert numbers.loc["dopr", "saving"] == pytest.approx(expected.value)
    assert numbers.loc["dopr", "saving"] == pytest.approx(
        numbers.loc["grpo", "rollouts"] / numbers.loc["dopr", "rollouts"]
    )
    assert numbers.loc["dopr", "saving_low"] == pytest.approx(expected.low)
    assert numbers.loc["dopr", "rollouts_with_profile"] == pytest.approx(numbers.loc["dopr", "rollouts"] + 5000)
    assert numbers.loc["dopr", "saving_with_profile"] < 1 < numbers.loc["dopr", "saving"]
    assert numbers.loc["random_one", "rollouts_with_profile"] == numbers.loc["random_one", "rollouts"]
    assert tuple(numbers.loc["grpo", ["saving", "saving_low", "saving_high"]]) == (1, 1, 1)
    assert (numbers["runs_reached"] == 3).all()


def test_credit_table_has_one_row_a_cause_whose_methods_were_run(comparison):
    table = credit_table([comparison], [0.6, 0.99], {"dopr", "dopr_reuse"}, {"easy": 5000})
    numbers = table.numbers
    assert list(numbers["cause"].unique()) == [
        "small batches",
        "selection",
        "all together",
    ]
    first = numbers[numbers["target"] == 0.6].set_index("cause")
    product = first.loc["small batches", "saving"] * first.loc["selection", "saving"]
    ratio = (
        rollouts_to_target(comparison.curve("grpo"), 0.6).rollouts
        / rollouts_to_target(comparison.curve("dopr"), 0.6).rollouts
    )
    assert product == pytest.approx(ratio)
    assert first.loc["all together", "verdict"] == "fewer rollouts"
    assert first.loc["selection", "saving_with_profile"] < first.loc["selection", "saving"]
    assert first.loc["small batches", "saving_with_profile"] == first.loc["small batches", "saving"]
    assert set(numbers.loc[numbers["target"] == 0.99, "verdict"]) == {"target not reached"}
    spans = (numbers["saving_low"] <= 1) & (numbers["saving_high"] >= 1) & numbers["saving"].notna()
    assert (numbers.loc[spans, "verdict"] == "no measurable difference").all()


def test_benchmark_table_by_count(results, comparison):
    table = benchmark_table([comparison], [comparison], [1, 4], "grpo")
    numbers = table.numbers.set_index(["method", "benchmark"])
    assert len(numbers) == 5 * 3
    assert numbers.loc[("dopr", "word2"), "avg_at_4"] == pytest.approx(
        accuracy_in_files(results, "dopr", None, "sampled", ("word2",))
    )
    np.testing.assert_allclose(numbers["pass_at_1"], numbers["avg_at_4"])
    assert (numbers["pass_at_4"] >= numbers["pass_at_1"]).all()
    frames = [results.completions("easy", "grpo", seed) for seed in (0, 1, 2)]
    rows = pd.concat([f[(f["step"] == 0) & (f["mode"] == "sampled") & (f["benchmark"] == "chain5")] for f in frames])
    assert numbers.loc[("base", "chain5"), "unparsed_share"] == pytest.approx((rows["verdict"] == "unparsed").mean())
    assert numbers.loc[("base", "chain5"), "truncated_share"] == pytest.approx((rows["finish"] == "length").mean())
    assert table.header[3:5] == ["greedy", "avg@4"]


def test_more_samples_than_were_drawn_are_refused(comparison):
    with pytest.raises(UserError, match="pass@5"):
        benchmark_table([comparison], [comparison], [5], "grpo")


def test_scores_hold_every_checkpoint_and_lead_back_to_the_curve(comparison):
    frame = scores([comparison], [1, 4])
    rows = frame[(frame["method"] == "dopr") & (frame["seed"] == 2)]
    curve = comparison.curve("dopr")
    assert len(rows) == len(curve.rollouts) * 3
    np.testing.assert_allclose(rows.groupby("rollouts")["avg_at_4"].mean(), curve.by_seed[2])
    assert (rows["tokens"] == rows["rollouts"] * 47).all()
    assert not any("seconds" in column for column in frame.columns)


TABLES = ("main", "targets", "credit", "benchmarks", "significance", "aggregates", "checkpoints", "quality")


# --- typesetting ---


def test_a_table_in_four_forms(tmp_path):
    table = Table(
        pd.DataFrame({"a": ["x", "y"], "b": [1 / 3, np.nan]}), ["a_b", "b"], [["x & y", "≥ 1×"], ["z", "(0, ∞)"]], 1
    )
    table.write(tmp_path / "small")
    assert (tmp_path / "small.csv").read_text() == "a,b\nx,0.333333\ny,\n"
    assert (tmp_path / "small.md").read_text() == "| a_b | b |\n| --- | ---: |\n| x & y | ≥ 1× |\n| z | (0, ∞) |\n"
    latex = (tmp_path / "small.tex").read_text()
    assert r"x \& y & $\geq$ 1$\times$ \\" in latex
    assert r"\begin{tabular}{lr}" in latex
    assert latex.count(r"\midrule") == 2  # below the header, and where the first cell changes
    html = (tmp_path / "small.html").read_text()
    assert "<tr><td>x &amp; y</td><td>≥ 1×</td></tr>" in html
    assert "td:nth-child(-n+1){text-align:left}" in html


def test_notes_stand_below_a_table():
    table = Table(pd.DataFrame({"a": [1]}), ["a"], [["1"]], 1, ["5 % < x", "more"])
    assert table.markdown() == "| a |\n| --- |\n| 1 |\n\n5 % < x\n\nmore\n"
    assert table.latex().endswith("\\end{tabular}\n\\par 5 \\% $<$ x\n\\par more\n")
    assert table.html().endswith("</table>\n<p>5 % &lt; x</p>\n<p>more</p>\n")


def test_a_long_table_may_break_over_pages():
    latex = Table(pd.DataFrame({"a": [1]}), ["a"], [["1"]] * 46, 1).latex()
    assert latex.startswith(r"\begin{longtable}{l}")
    assert r"\endhead" in latex


def test_cells():
    assert (percent(0.12345), percent(float("nan"))) == ("12.3", "–")
    assert bracket(1.234, 5.678, 2) == "[1.23, 5.68]"
    assert bracket(0, np.inf, 2) == "(0, ∞)"
    assert (display_name("dopr_reuse"), display_name("top_16"), display_name("my_method")) == (
        "DoPR + reuse",
        "top 16",
        "my method",
    )


def test_a_saving_in_words(comparison):
    at = rollouts_to_target(comparison.curve("grpo"), 0.6)
    never = rollouts_to_target(comparison.curve("dopr_reuse"), 0.999)
    assert saving_text(saving_ratio(at, never)).startswith("< ")
    assert saving_text(saving_ratio(never, at)).startswith("> ")
    assert saving_text(saving_ratio(never, never)) == "–"


def test_the_csv_can_be_read_back(comparison):
    table = target_table([comparison], [0.6, 0.99], "grpo", set(), {"easy": 0})
    back = pd.read_csv(io.StringIO(csv_text(table.numbers)), keep_default_na=True)
    np.testing.assert_allclose(back["high"], table.numbers["high"], atol=1e-6)
    assert np.isinf(back["high"]).any()


# --- the programs ---


def run(script: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPTS / script, *options], capture_output=True, text=True, check=False)


@pytest.fixture
def options(tmp_path) -> list[str]:
    targets = {"targets": [0.6, 0.7], "samples": 4, "pass_at": [1, 4], "bootstrap": 100}
    path = config_file(tmp_path / "config.json", pools=["easy"], methods=METHODS, seeds=[0, 1, 2], evaluate=targets)
    return ["--config", str(path)]


def test_the_tables_are_the_same_bytes_again(root, options, tmp_path):
    written = []
    for name in ("once", "again"):
        done = run("table.py", "comparison", *options, "--results", str(root), "--output", str(tmp_path / name))
        assert done.returncode == 0, done.stderr
        written.append({path.name: path.read_bytes() for path in (tmp_path / name).iterdir()})
    names = {f"{table}.{kind}" for table in TABLES for kind in ("csv", "md", "tex", "html")}
    assert set(written[0]) == names | {"scores.csv"}
    assert written[0] == written[1]


def test_the_profile_is_charged_from_its_ledger(root, options, tmp_path):
    config = json.loads(Path(options[1]).read_text())
    config["recipes"]["dopr"] = config["recipes"]["dopr_profile"]
    Path(options[1]).write_text(json.dumps(config))
    output = tmp_path / "tables"
    assert run("table.py", "comparison", *options, "--results", str(root), "--output", str(output)).returncode == 0
    numbers = pd.read_csv(output / "targets.csv").set_index(["method", "target"])
    extra = numbers.loc[("dopr", 0.6), "rollouts_with_profile"] - numbers.loc[("dopr", 0.6), "rollouts"]
    assert extra == pytest.approx(len(pd.read_parquet(root / "profile/easy/ledger.parquet")))


def test_runs_from_two_processors_are_told_of_below_the_main_table(root, options, tmp_path):
    copy, output = tmp_path / "results", tmp_path / "tables"
    shutil.copytree(root, copy)
    for method, processor in (("grpo", "EPYC (AVX2)"), ("dopr", "Xeon (AVX512)")):
        path = copy / "train/easy" / method / "0/provenance.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), "device": "cpu", "cpu": processor}))
    assert run("table.py", "comparison", *options, "--results", str(copy), "--output", str(output)).returncode == 0
    last = (output / "main.md").read_text().splitlines()[-1]
    assert last.startswith("Warning: runs of this comparison are from different processors, on which equal seeds give")
    assert "EPYC (AVX2): 1, such as" in last
    assert "Xeon (AVX512): 1, such as" in last


def test_missing_input_is_one_line(root, options, tmp_path):
    copy = tmp_path / "results"
    shutil.copytree(root, copy)
    (copy / "evaluate/easy/dopr/2/completions.parquet").unlink()
    done = run("table.py", "comparison", *options, "--results", str(copy), "--output", str(tmp_path / "tables"))
    assert done.returncode == 1
    assert done.stderr.startswith("error: ")
    assert "evaluate/easy/dopr/2/completions.parquet: no such file" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "tables").exists()


# --- differences, aggregates, checkpoints, completions ---


def test_significance_by_benchmark_and_in_all(comparison):
    numbers = significance_table([comparison], "grpo").numbers.set_index(["method", "benchmark"])
    assert set(numbers.index.get_level_values("benchmark")) == {"chain3", "chain5", "word2", "all"}
    assert "grpo" not in numbers.index.get_level_values("method")
    for method in ("random_one", "dopr"):
        rows = numbers.loc[method]
        assert rows.loc["all", "difference"] == pytest.approx(rows["difference"].drop("all").mean())
        apart = comparison.curve(method).mean[-1] - comparison.curve("grpo").mean[-1]
        assert rows.loc["all", "difference"] == pytest.approx(apart)
        assert ((rows["low"] < rows["difference"]) & (rows["difference"] < rows["high"])).all()
        assert (rows["p_holm"].drop("all") >= rows["p"].drop("all")).all()
        assert (((rows["low"] > 0) | (rows["high"] < 0)) == (rows["p"] < 0.05)).all()
        assert (rows["resolved"] > (rows["high"] - rows["low"]) / 2).all()


def test_aggregates_of_the_last_checkpoint(comparison):
    numbers = aggregate_table([comparison], "grpo", 200).numbers.set_index("method")
    scores = by_benchmark(comparison.evaluations["dopr"])
    assert scores.shape == (3, 3)
    assert numbers.loc["dopr", "iqm"] == pytest.approx(iqm(scores))
    assert numbers.loc["dopr", "above_0.7"] == pytest.approx((scores > 0.7).mean())
    assert np.isnan(numbers.loc["grpo", "improvement"])
    assert 0 <= numbers.loc["dopr", "improvement_low"] <= numbers.loc["dopr", "improvement"] <= 1


def test_the_best_on_test_is_never_below_the_last_and_looking_adds_to_it(comparison):
    numbers = checkpoint_table([comparison], [comparison]).numbers.set_index("method")
    for method in ("grpo", "random_one", "dopr"):
        assert numbers.loc[method, "last"] == pytest.approx(comparison.curve(method).mean[-1])
        assert numbers.loc[method, "test"] >= numbers.loc[method, "last"]
        assert numbers.loc[method, "validation"] == numbers.loc[method, "test"]  # the same questions here
        assert numbers.loc[method, "inflation"] > 0
    chosen = best(comparison)["dopr"]
    final = comparison.at(best(comparison)).curve("dopr")
    assert final.mean == pytest.approx(numbers.loc["dopr", "test"])
    assert final.rollouts == pytest.approx(comparison.evaluations["dopr"].rollouts[chosen].mean())


def test_what_is_reported_is_the_last_or_the_best_on_validation(root, comparison):
    np.testing.assert_equal(reported([comparison], []), [last(comparison)])
    assert validations(root, "last", [comparison], 10) == []
    with pytest.raises(DataError, match="validate/easy/grpo/0"):
        validations(root, "best_on_validation", [comparison], 10)
    validated = dataclasses.replace(comparison, pool="elsewhere")
    np.testing.assert_equal(reported([comparison], [validated]), [best(comparison)])


def test_choosing_among_equal_checkpoints_inflates_as_much_as_noise_does(comparison):
    """All checkpoints equally good: the best of them is better by luck alone, which the other half does not share."""
    evaluation = comparison.evaluations["dopr"]
    noise = np.random.default_rng(0).binomial(4, 0.5, evaluation.correct.shape)
    lucky = inflation(dataclasses.replace(evaluation, earned=noise.astype(float)), 0)
    none = inflation(dataclasses.replace(evaluation, earned=np.full(evaluation.earned.shape, 2.0)), 0)
    assert none == 0
    assert 0.05 < lucky < 0.4


def test_quality_by_benchmark_and_category(results, comparison):
    table = quality_table(results, [comparison], [last(comparison)], "grpo")
    numbers = table.numbers
    assert table.header[3:6] == ["avg@k, %", "unparsed, %", "maj@k, %"]
    assert set(numbers["part"]) == {
        *("chain3", "chain5", "word2"),
        *(f"{name}: {part}" for name in ("chain3", "chain5", "word2") for part in ("even", "odd")),
    }
    row = numbers[(numbers["method"] == "dopr") & (numbers["part"] == "word2")].iloc[0]
    expected = benchmark_table([comparison], [comparison], [1], "grpo").numbers.set_index(["method", "benchmark"])
    assert row["accuracy"] == pytest.approx(expected.loc[("dopr", "word2"), "avg_at_4"])
    assert (row["boxed"], row["tokens"], row["rethink"]) == (1, 30, 0)
    assert row["recheck"] == pytest.approx(100 * (1 - row["accuracy"]))  # the fixture's wrong answers say so


def test_the_majority_is_the_most_frequent_answer_and_the_first_of_equals():
    def vote(votes, correct):
        return majority(pd.DataFrame({"seed": 0, "prompt": "a", "vote": votes, "correct": correct})) == 1

    assert vote(["1", "2", "2"], [False, True, True])
    assert not vote(["1", "1", "2"], [False, False, True])
    assert vote(["2", "1", "1", "2"], [True, False, False, True])
    assert not vote(["1", "2", "2", "1"], [False, True, True, False])
    assert vote([None, None, "2"], [False, False, True])
    assert not vote([None, None], [False, False])
