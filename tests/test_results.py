"""Reading results and comparing methods: against an independent count, and with files that are missing or damaged."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dopr.analysis.comparison import Comparison, compare
from dopr.analysis.results import MAIN, Results
from dopr.analysis.scores import load_evaluation
from dopr.errors import UserError
from dopr.tables.benchmarks import scores
from fixture_results import BENCHMARKS, make_results

METHODS = ["grpo", "random_one", "dopr"]
GROUPS = {"near": ["chain3", "chain5"], "far": ["word2"]}


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    return make_results(tmp_path_factory.mktemp("results"), methods=tuple(METHODS))


@pytest.fixture(scope="module")
def results(root) -> Results:
    return Results(root)


@pytest.fixture(scope="module")
def comparison(results) -> Comparison:
    return compare(results, "easy", METHODS, [0, 1, 2], 200)


def counted(
    results: Results, method: str, step: int | None, mode: str, benchmarks: tuple[str, ...] = BENCHMARKS
) -> float:
    """Accuracy counted from the files: the mean over seeds and benchmarks; step None is the last one."""
    values = []
    for seed in (0, 1, 2):
        frame = results.completions("easy", method, seed)
        rows = frame[(frame["step"] == (frame["step"].max() if step is None else step)) & (frame["mode"] == mode)]
        values += [(rows.loc[rows["benchmark"] == name, "verdict"] == "correct").mean() for name in benchmarks]
    return float(np.mean(values))


# --- reading ---


def test_a_notebook_opens_the_main_table_by_the_folder_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    table = pd.DataFrame([["easy", "dopr", 3, 2048, 0.83, 0.8, 0.85]], columns=list(MAIN))
    (tmp_path / "results/tables").mkdir(parents=True)
    table.to_csv("results/tables/main.csv", index=False)
    pd.testing.assert_frame_equal(Results("results").main(), table)
    with pytest.raises(UserError, match=r"elsewhere/tables/main\.csv: no such file"):
        Results("elsewhere").main()


def test_an_evaluation_holds_every_completion_of_the_files(results):
    evaluation = load_evaluation(results, "easy", "grpo", [0, 1, 2])
    assert evaluation.correct.shape == evaluation.greedy.shape == (3, len(evaluation.steps), 18)
    assert evaluation.benchmarks == ("chain3", "chain5", "word2")
    np.testing.assert_array_equal(evaluation.samples, np.full((len(evaluation.steps), 18), 4))
    assert evaluation.rollouts[0] == evaluation.steps[0] == 0
    assert evaluation.rollouts[-1] == 7680
    frame = results.completions("easy", "grpo", 1)
    one = frame[
        (frame["prompt"] == "chain5-003") & (frame["step"] == evaluation.steps[5]) & (frame["mode"] == "sampled")
    ]
    at = evaluation.questions.index("chain5-003")
    assert evaluation.correct[1, 5, at] == (one["verdict"] == "correct").sum()
    assert evaluation.benchmarks[evaluation.benchmark[at]] == "chain5"
    assert evaluation.faults["unparsed"][1, 5, at] == (one["verdict"] == "unparsed").mean()
    assert evaluation.faults["truncated"].sum() > 0


def test_accuracy_is_the_mean_reward_and_what_is_correct_has_a_reward_of_one(tmp_path):
    """Four sampled completions of a question earn 1, 1/2, 1/4 and 0 in place of what they had; its greedy one 1/2."""
    root = make_results(tmp_path, methods=("grpo",), seeds=(0,))
    path = root / "evaluate/easy/grpo/0/completions.parquet"
    frame = pd.read_parquet(path)
    chosen = (frame["prompt"] == "word2-002") & (frame["step"] == frame["step"].max())
    frame.loc[chosen & (frame["mode"] == "sampled"), "reward"] = [1, 0.5, 0.25, 0]
    frame.loc[chosen & (frame["mode"] == "greedy"), "reward"] = 0.5
    frame.loc[chosen, "verdict"] = np.where(frame.loc[chosen, "reward"] == 1, "correct", "wrong")
    frame.to_parquet(path, index=False)
    evaluation = load_evaluation(Results(root), "easy", "grpo", [0])
    at = evaluation.questions.index("word2-002")
    assert evaluation.sampled[0, -1, at] == 1.75 / 4
    assert evaluation.greedy[0, -1, at] == 0.5
    assert evaluation.correct[0, -1, at] == 1
    others = frame[(frame["benchmark"] == "word2") & (frame["step"] == frame["step"].max())]
    expected = others.loc[others["mode"] == "sampled", "reward"].mean()
    curve = compare(Results(root), "easy", ["grpo"], [0], 10).curve("grpo", ["word2"])
    assert curve.mean[-1] == pytest.approx(expected)


def test_a_missing_run_is_named(results):
    with pytest.raises(UserError, match=r"evaluate/easy/grpo/7/completions\.parquet: no such file"):
        load_evaluation(results, "easy", "grpo", [0, 7])


def test_checkpoints_between_the_first_and_the_last_may_have_fewer_samples_and_no_greedy_one(tmp_path):
    root = make_results(tmp_path, methods=("grpo",), seeds=(0, 1, 2))
    for seed in (0, 1, 2):
        path = root / f"evaluate/easy/grpo/{seed}/completions.parquet"
        rows = pd.read_parquet(path)
        ends = rows["step"].isin([rows["step"].min(), rows["step"].max()])
        rows[ends | ((rows["mode"] == "sampled") & (rows["sample"] < 1))].to_parquet(path)
    comparison = compare(Results(root), "easy", ["grpo"], [0, 1, 2], 10)
    evaluation = comparison.evaluations["grpo"]
    assert evaluation.samples[:, 0].tolist() == [4, *[1] * (len(evaluation.steps) - 2), 4]
    for checkpoint in (0, 3, -1):
        step = int(evaluation.steps[checkpoint])
        counted_from_files = counted(Results(root), "grpo", step, "sampled")
        assert comparison.curve("grpo").mean[checkpoint] == pytest.approx(counted_from_files)
    assert np.isnan(evaluation.greedy[:, 1:-1]).all()
    assert np.isfinite(evaluation.greedy[:, [0, -1]]).all()
    shown = scores([comparison], [1, 4])
    assert shown.loc[shown["step"] == evaluation.steps[3], "pass_at_4"].isna().all()
    assert shown.loc[shown["step"] == evaluation.steps[-1], "pass_at_4"].between(0, 1).all()


def test_between_them_a_benchmark_may_have_a_greedy_completion_where_others_have_none(tmp_path):
    root = make_results(tmp_path, methods=("grpo",), seeds=(0,))
    path = root / "evaluate/easy/grpo/0/completions.parquet"
    rows = pd.read_parquet(path)
    between = ~rows["step"].isin([rows["step"].min(), rows["step"].max()])
    rows[~(between & (rows["mode"] == "greedy") & (rows["benchmark"] != "word2"))].to_parquet(path)
    evaluation = load_evaluation(Results(root), "easy", "grpo", [0])
    has_greedy = evaluation.benchmark == evaluation.benchmarks.index("word2")
    assert (np.isfinite(evaluation.greedy[0, 1:-1]) == has_greedy).all()
    rows[~(between & (rows["mode"] == "greedy") & (rows["prompt"] == "word2-002"))].to_parquet(path)
    with pytest.raises(UserError, match="greedy and sampled completions are of different questions"):
        load_evaluation(Results(root), "easy", "grpo", [0])


def test_a_damaged_file_is_named(tmp_path):
    root = make_results(tmp_path, methods=("grpo",), seeds=(0,))
    path = root / "evaluate/easy/grpo/0/completions.parquet"
    path.write_bytes(b"PAR1 but not really")
    with pytest.raises(UserError, match=r"completions\.parquet: not a Parquet file"):
        load_evaluation(Results(root), "easy", "grpo", [0])
    (root / "train/easy/grpo/0/metrics.csv").write_text("step,rollouts\n1,8\n")
    with pytest.raises(UserError, match=r"metrics\.csv: has no column 'tokens'"):
        Results(root).metrics("easy", "grpo", 0)
    (root / "train/easy/grpo/0/seconds.csv").write_text("step,cpu_seconds,wall_seconds,gpu_seconds\n")
    with pytest.raises(UserError, match=r"seconds\.csv: holds no rows"):
        Results(root).seconds("easy", "grpo", 0)
    (root / "profile/easy/history.json").write_text("{}")
    with pytest.raises(UserError, match=r"history\.json: holds no visits"):
        Results(root).history("easy")


def test_an_evaluation_with_holes_is_refused(tmp_path):
    root = make_results(tmp_path, methods=("grpo",), seeds=(0, 1))
    path = root / "evaluate/easy/grpo/0/completions.parquet"
    whole = pd.read_parquet(path)
    whole.drop(index=whole.index[-1]).to_parquet(path)
    with pytest.raises(UserError, match="not every question of a benchmark has the same number of completions"):
        load_evaluation(Results(root), "easy", "grpo", [0, 1])
    whole[whole["step"] < whole["step"].max()].to_parquet(path)
    with pytest.raises(UserError, match="seeds 0 and 1 differ"):
        load_evaluation(Results(root), "easy", "grpo", [0, 1])


def test_methods_evaluated_on_other_questions_are_not_compared(tmp_path):
    root = make_results(tmp_path, methods=("grpo",), seeds=(0,))
    make_results(tmp_path, methods=("dopr",), seeds=(0,), questions=5)
    with pytest.raises(UserError, match="not evaluated on the same questions"):
        compare(Results(root), "easy", ["grpo", "dopr"], [0], 10)


def test_an_unknown_benchmark_is_named(comparison):
    with pytest.raises(UserError, match=r"'chain9' was not evaluated; known are chain3"):
        comparison.curve("grpo", ["chain9"])


# --- comparing ---


def test_curves_are_the_accuracies_counted_from_the_files(results, comparison):
    assert comparison.curve("dopr").mean[-1] == pytest.approx(counted(results, "dopr", None, "sampled"))
    assert comparison.curve("dopr", greedy=True).mean[0] == pytest.approx(counted(results, "dopr", 0, "greedy"))
    near = counted(results, "grpo", None, "sampled", ("chain3", "chain5"))
    assert comparison.curve("grpo", GROUPS["near"]).mean[-1] == pytest.approx(near)


def test_replicates_of_a_group_of_benchmarks_are_proper_means(comparison):
    everything = comparison.curve("grpo")
    near, far = (comparison.curve("grpo", names) for names in GROUPS.values())
    np.testing.assert_allclose(everything.mean, (2 * near.mean + far.mean) / 3)
    for curve in (everything, near, far):
        np.testing.assert_allclose(curve.replicates.mean(axis=0), curve.mean, atol=0.03)


def test_every_method_is_resampled_with_the_same_questions_and_seeds_of_its_own(comparison):
    grpo = comparison.evaluations["grpo"]
    # Give two methods the same accuracies, equal for all seeds: with the same questions the replicates agree.
    alike = replace(grpo, earned=np.repeat(grpo.earned[:1], 3, axis=0))
    same = replace(comparison, evaluations={"grpo": alike, "random_one": alike})
    one, other = (same.curve(method) for method in ("grpo", "random_one"))
    np.testing.assert_allclose(one.replicates, other.replicates)
    # With seeds that differ, they do not: each method draws its own.
    same = replace(comparison, evaluations={"grpo": grpo, "random_one": grpo})
    one, other = (same.curve(method) for method in ("grpo", "random_one"))
    assert not np.allclose(one.replicates, other.replicates)
