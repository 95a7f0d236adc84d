"""The numbers in each figure, counted from the inputs, and drawn as they are written."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes

from dopr.analysis.comparison import compare
from dopr.analysis.informative_share import informative_share
from dopr.analysis.results import Results
from dopr.analysis.statistics import interval
from dopr.errors import UserError
from dopr.figures import (
    acquisition,
    curves,
    informative,
    performance_profile,
    profile,
    responses,
    selection,
    training,
)
from dopr.figures.style import COLUMN, PAGE
from fixture_results import make_results

METHODS = ["grpo", "random_one", "dopr", "dopr_reuse"]
LADDER = [(1, "one_shot"), (4, "top_4"), (None, "grpo")]
SEEDS = [0, 1, 2]


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


def drawn(axes: Axes, x: pd.Series, y: pd.Series) -> bool:
    """Whether a panel has a line through exactly these points."""
    wanted = np.column_stack([x, y])
    return any(line.shape == wanted.shape and np.allclose(line, wanted) for line in lines(axes))


# --- curves ---


def test_curves_hold_the_mean_its_interval_and_every_seed(results, comparisons):
    frame = curves.collect(results, comparisons, "rollouts")
    rows = frame[(frame["pool"] == "hard") & (frame["method"] == "dopr")]
    curve = comparisons[1].curve("dopr")
    mean = rows[rows["seed"] == "mean"]
    np.testing.assert_allclose(mean["accuracy"], curve.mean)
    np.testing.assert_allclose(mean["low"], interval(curve.replicates)[0])
    np.testing.assert_allclose(rows.loc[rows["seed"] == "1", "accuracy"], curve.by_seed[1])
    completions = results.completions("hard", "dopr", 1)
    last = completions[(completions["step"] == completions["step"].max()) & (completions["mode"] == "sampled")]
    counted = (last["verdict"] == "correct").groupby(last["benchmark"]).mean().mean()
    assert rows.loc[rows["seed"] == "1", "accuracy"].iloc[-1] == pytest.approx(counted)


def test_tokens_and_seconds_are_each_seeds_own(results, comparisons):
    tokens = curves.collect(results, comparisons, "tokens")
    last = tokens[(tokens["pool"] == "easy") & (tokens["method"] == "dopr")].groupby("seed")["tokens"].max()
    assert [last["0"], last["1"], last["2"], last["mean"]] == [3840 * n for n in (45, 46, 47, 46)]
    cpu = curves.collect(results, comparisons, "cpu_seconds")
    rows = cpu[(cpu["pool"] == "easy") & (cpu["method"] == "grpo") & (cpu["seed"] == "2")]
    laps = results.seconds("easy", "grpo", 2).set_index("step")["cpu_seconds"]
    assert rows["cpu_seconds"].iloc[0] == 0
    np.testing.assert_allclose(rows["cpu_seconds"].iloc[1:], laps.loc[rows["step"].iloc[1:]])


def test_runs_that_held_no_gpu_have_no_line_against_its_seconds(results, comparisons):
    frame = curves.collect(results, comparisons, "gpu_seconds")
    for panel in curves.draw(frame, "gpu_seconds").axes:
        assert len(panel.get_lines()) == 1  # the base policy


def test_seconds_that_end_too_early_are_an_error(tmp_path):
    root = make_results(tmp_path, methods=("grpo",), seeds=(0,))
    path = root / "train/easy/grpo/0/seconds.csv"
    pd.read_csv(path).iloc[:-1].to_csv(path, index=False)
    comparison = compare(Results(root), "easy", ["grpo"], [0], 10)
    with pytest.raises(UserError, match=r"easy/grpo/0/seconds\.csv: has no row for step 60"):
        curves.collect(Results(root), [comparison], "cpu_seconds")


def test_what_is_drawn_is_what_the_csv_holds(results, comparisons):
    frame = curves.collect(results, comparisons, "rollouts")
    panels = curves.draw(frame, "rollouts").axes
    assert len(panels) == 2
    for panel, pool in zip(panels, ("easy", "hard"), strict=True):
        for _, run in frame[(frame["pool"] == pool) & (frame["step"] > 0)].groupby(["method", "seed"]):
            assert drawn(panel, run["rollouts"], run["accuracy"])
        assert len(panel.get_lines()) == len(METHODS) * 4 + 1  # means, three seeds, and the base policy


def test_one_pool_fits_one_column(results, comparisons):
    frame = curves.collect(results, comparisons, "rollouts")
    assert curves.draw(frame, "rollouts").get_figwidth() == PAGE
    assert curves.draw(frame[frame["pool"] == "easy"], "rollouts").get_figwidth() == COLUMN


# --- training ---


def test_training_bins_partition_the_steps(results):
    frame = training.collect(results, ["easy"], ["random_one"], SEEDS)
    run = frame[frame["seed"] == "1"]
    metrics = results.metrics("easy", "random_one", 1)
    sizes = np.diff([0, *run["rollouts"]]) / 8
    assert run["rollouts"].iloc[0] == 64
    assert run["rollouts"].iloc[-1] == 3840
    assert (run["reward"] * sizes).sum() / sizes.sum() == pytest.approx(metrics["reward"].mean())
    assert run["entropy"].iloc[0] == pytest.approx(metrics["entropy"].iloc[:8].mean())
    mean = frame[frame["seed"] == "mean"]
    by_seed = frame[frame["seed"] != "mean"].groupby("rollouts")["length"].mean()
    np.testing.assert_allclose(mean["length"], by_seed.loc[mean["rollouts"]])


def test_training_draws_its_frame(results):
    frame = training.collect(results, ["easy"], METHODS, SEEDS)
    panels = training.draw(frame).axes
    for panel, measure in zip(panels, ("reward", "entropy", "length", "grad_norm"), strict=True):
        for _, run in frame.groupby(["method", "seed"]):
            assert drawn(panel, run["rollouts"], run[measure])


# --- profile ---


def test_responses_are_counted_in_the_files(results):
    frame = responses.collect(results, ["easy"], ["dopr"], [0, 1, 2])
    whole = results.completions("easy", "dopr", 1)
    texts = results.responses("easy", "dopr", 1)
    assert len(texts) == (whole["mode"] == "sampled").sum()
    last = texts[texts["step"] == texts["step"].max()]
    row = frame[frame["seed"] == "1"].iloc[-1]
    assert row["rollouts"] == last["rollouts"].iloc[0]
    assert row["length"] == 30
    assert row["boxed"] == 1
    # The fixture's wrong answers begin with "recheck", its right ones have no word of reflection.
    wrong = whole[(whole["step"] == whole["step"].max()) & (whole["mode"] == "sampled")]["verdict"] != "correct"
    assert row["reflection"] == pytest.approx(wrong.mean())
    assert row["truncated"] == pytest.approx((last["finish"] == "length").mean())
    means = frame[frame["seed"] == "mean"]
    assert means["reflection"].iloc[-1] == pytest.approx(
        frame[frame["seed"] != "mean"].groupby("seed")["reflection"].last().mean()
    )
    assert (frame["rollouts"] > 0).all()


def test_words_of_reflection_and_boxes_by_hand():
    rows = [
        ("Let me Recheck this. \\boxed{1}", "stop"),
        ("recalculate, rethink", "length"),
        ("I check it: \\boxed{2", "stop"),
        ("\\boxed{3}", "stop"),
    ]
    frame = pd.DataFrame(rows, columns=["text", "finish"]).assign(step=4, rollouts=32, completion_tokens=[1, 2, 3, 6])
    (found,) = responses.shares(frame).to_dict("records")
    assert found == {"rollouts": 32, "length": 3, "boxed": 0.5, "reflection": 0.5, "truncated": 0.25}


def test_shares_near_nothing_have_an_axis_from_nothing_on(results):
    frame = responses.collect(results, ["easy"], ["dopr"], [0, 1]).assign(truncated=0.001)
    panel = responses.draw(frame).axes[3]
    assert panel.get_ylim() == (0, 0.05)


def test_measures_that_are_zero_throughout_have_no_panel(results):
    frame = responses.collect(results, ["easy", "hard"], ["dopr"], [0, 1]).assign(truncated=0.0)
    frame.loc[frame["pool"] == "easy", "reflection"] = 0.0
    names = [panel.get_ylabel() for panel in responses.draw(frame).axes]
    assert names == 2 * ["length (tokens)", "with a box", "with reflection"]


def test_acquisition_is_what_the_selector_logged(results):
    frame = acquisition.collect(results, ["easy"], ["dopr"], [0, 1])
    steps = np.arange(1, 481)  # in the fixture volatility is 0.5 / step and exploration 0.1 step
    first = frame[(frame["seed"] == "0")].iloc[0]
    inside = steps * 8 <= first["rollouts"]
    assert first["volatility"] == pytest.approx((0.5 / steps[inside]).mean())
    assert first["exploration"] == pytest.approx((0.1 * steps[inside]).mean())
    assert (frame["score"] - frame["volatility"] - frame["exploration"]).abs().max() < 1e-9
    with pytest.raises(UserError, match=r"grpo/0/metrics\.csv: has no volatility; leave grpo out"):
        acquisition.collect(results, ["easy"], ["grpo"], [0])


def test_profile_examples_are_the_first_a_middle_and_a_dead_prompt():
    ranking = pd.DataFrame(
        {
            "rank": [1, 2, 3, 4, 5, 6],
            "prompt": list("abcdef"),
            "variance": [0.2, 0.1, 0.05, 0, 0, 0],
            "mean": [0.5, 0.6, 0.9, 1.0, 0.0, 0.0],
        }
    )
    assert list(profile.examples(ranking).values()) == ["a", "b", "f"]
    assert list(profile.examples(ranking.iloc[3:]).values()) == ["d", "e", "f"]  # nothing varies


def test_profile_holds_the_ranking_and_the_histories(results):
    frame = profile.collect(results, "easy")
    ranking = frame[frame["panel"] == "ranking"]
    history = results.history("easy")
    variances = [np.var(history[prompt]) for prompt in ranking["prompt"]]
    np.testing.assert_allclose(ranking["variance"], variances, atol=1e-6)
    assert (np.diff(ranking["variance"]) <= 0).all()
    for prompt, rows in frame[frame["panel"] == "history"].groupby("prompt"):
        np.testing.assert_allclose(rows["accuracy"], history[str(prompt)])
    heights = [patch.get_height() for patch in profile.draw(frame).axes[0].patches]
    assert sum(heights) == len(ranking)


# --- selection ---


def test_selection_follows_the_ledger(results):
    frame = selection.collect(results, "easy", METHODS, SEEDS)
    family = {prompt.id: prompt.family for prompt in results.prompts("easy")}
    choices = frame[(frame["panel"] == "choice") & (frame["method"] == "dopr")]
    ledger = results.ledger("easy", "dopr", 0)
    assert list(choices["prompt"]) == list(ledger["prompt"].iloc[::8])
    assert list(choices["family"]) == [family[prompt] for prompt in choices["prompt"]]
    assert choices["rollouts"].iloc[-1] == len(ledger)
    last = frame.loc[frame["panel"] == "choice"].groupby("family")["place"].max().idxmax()
    assert last == "big1"  # never solved, so at the bottom
    shares = frame[(frame["panel"] == "family") & (frame["method"] == "random_one")]
    np.testing.assert_allclose(shares.groupby("seed")["share"].sum(), 1)
    dead = (results.ledger("easy", "random_one", 2)["prompt"].map(family) == "big1").mean()
    assert shares.loc[(shares["seed"] == 2) & (shares["family"] == "big1"), "share"].item() == pytest.approx(dead)


def test_rollouts_of_groups_that_are_sampled_in_parts_are_counted(tmp_path):
    root = make_results(tmp_path, methods=("dopr",), seeds=(0,))
    path = root / "train/easy/dopr/0/ledger.parquet"
    rows = pd.read_parquet(path).iloc[: 5 * 8]
    whole = rows["step"].isin([1, 4])  # of steps 0, 2 and 3 only the first 2 rollouts: 2, 8, 2, 2 and 8 rows
    rows[whole | (rows["sample"] < 2)].to_parquet(path)
    choices = selection.collect(Results(root), "easy", ["dopr"], [0]).query("panel == 'choice'")
    assert list(choices["step"]) == [0, 1, 2, 3, 4]
    assert list(choices["rollouts"]) == [2, 10, 12, 14, 22]


def test_places_give_each_family_a_block_of_its_own(results):
    choices = selection.collect(results, "easy", ["grpo"], [0]).query("panel == 'choice'")
    spans = choices.groupby("family")["place"].agg(["min", "max"]).sort_values("min")
    assert (spans["min"].to_numpy()[1:] > spans["max"].to_numpy()[:-1]).all()
    assert choices.groupby("prompt")["place"].nunique().eq(1).all()


def test_the_share_of_steps_with_a_gradient_is_cumulative(results):
    frame = selection.collect(results, "easy", ["random_one"], SEEDS)
    run = frame[(frame["panel"] == "gradient") & (frame["seed"] == 1)]
    updated = results.metrics("easy", "random_one", 1)["updated"]
    assert run["share"].iloc[-1] == pytest.approx(updated.mean())
    assert run["rollouts"].iloc[0] == 64
    assert run["share"].iloc[0] == pytest.approx(updated.iloc[:8].mean())
    figure = selection.draw(frame)
    by_seed = frame[frame["panel"] == "gradient"].groupby("rollouts")["share"].mean()
    assert any(drawn(panel, by_seed.index.to_series(), by_seed) for panel in figure.axes)


# --- informative groups ---


def test_informative_groups_are_counted_from_the_ledger(results):
    frame = informative.collect(results, ["easy"], METHODS, SEEDS, 100)
    rewards = results.ledger("easy", "dopr_reuse", 2)["reward"].to_numpy().reshape(-1, 2)
    spent = rewards.size / (rewards[:, 0] != rewards[:, 1]).sum()
    row = frame[(frame["method"] == "dopr_reuse") & (frame["seed"] == "2")].iloc[0]
    assert (row["group"], row["measured"]) == (2, pytest.approx(spent))
    mean = frame[(frame["method"] == "grpo") & (frame["seed"] == "mean")].iloc[0]
    mixed = np.mean([0 < visits[0] < 1 for visits in results.history("easy").values()])
    assert mean["uniform"] == pytest.approx(8 / mixed)
    assert mean["least"] == pytest.approx(8 / informative_share(0.5, 8))
    assert mean["least"] < mean["uniform_low"] < mean["uniform"] < mean["uniform_high"]


def test_groups_larger_than_the_profiles_have_no_expectation_under_uniform_sampling(tmp_path):
    root = make_results(tmp_path, methods=("grpo", "dopr"), seeds=(0,))
    path = root / "profile/easy/ledger.parquet"
    pd.read_parquet(path).query("sample < 4").to_parquet(path)  # the profile's groups have 4, the methods' 8
    frame = informative.collect(Results(root), ["easy"], ["grpo", "dopr"], [0], 100)
    assert frame[["uniform", "uniform_low", "uniform_high"]].isna().all(axis=None)
    mean = frame[frame["seed"] == "mean"]
    np.testing.assert_allclose(mean["least"], 8 / (1 - 2 / 256))  # q(1/2, 8) = 1 - 2 / 2^8
    panel = informative.draw(frame).axes[0]
    assert all(drawn(panel, pd.Series([mean["least"].iloc[0]] * 2), pd.Series([y - 0.3, y + 0.3])) for y in (0, 1))


def test_a_run_without_signal_is_said_to_have_none(results):
    frame = informative.collect(results, ["easy"], ["grpo", "one_shot"], SEEDS, 100)
    frame.loc[frame["method"] == "one_shot", "measured"] = np.inf
    texts = [text.get_text() for text in informative.draw(frame).axes[0].texts]
    assert texts == ["none in a seed"]


# --- performance profiles ---


def test_a_profile_is_the_share_of_runs_and_benchmarks_above_each_accuracy(comparisons):
    frame = performance_profile.collect(comparisons, 100)
    evaluation = comparisons[1].evaluations["dopr"]
    final = evaluation.sampled[:, -1]
    benchmarks = [final[:, evaluation.benchmark == number].mean(axis=1) for number in np.unique(evaluation.benchmark)]
    rows = frame[(frame["pool"] == "hard") & (frame["method"] == "dopr")]
    for seed, places in (("mean", slice(None)), ("1", 1)):
        shown = rows[rows["seed"] == seed].set_index("threshold")["above"]
        scores = np.concatenate([np.atleast_1d(each[places]) for each in benchmarks])
        assert shown.loc[0.5] == pytest.approx((scores > 0.5).mean())
        assert shown.iloc[-1] == 0
        assert shown.is_monotonic_decreasing
    whole = rows[rows["seed"] == "mean"]
    assert (whole["low"] <= whole["above"]).all()
    assert (whole["above"] <= whole["high"]).all()
    figure = performance_profile.draw(frame)
    assert [axes.get_title(loc="left") for axes in figure.axes] == ["(a) easy pool", "(b) hard pool"]
    assert drawn(figure.axes[1], whole["threshold"], whole["above"])
