"""Estimates from counts, and the constants of bounds as read from an experiment's files."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from dopr.analysis.comparison import compare
from dopr.analysis.informative_share import informative_share
from dopr.analysis.results import Results
from dopr.bounds.bound import find_bound
from dopr.bounds.change_of_measure import binary_kl
from dopr.bounds.estimates import coverage, first_visits, measured_informative_share, variance_moments
from dopr.bounds.gradient_error import of_moments
from dopr.bounds.measured_constants import (
    Measured,
    base_budget,
    base_coverage,
    group_size,
    measure,
    pool_gradient,
    pool_informative_share,
    solvable_share,
    spent_per_informative_group,
)
from dopr.files import DataError, write_json
from fixture_results import make_results

# --- estimates ---


def test_measured_share_by_hand():
    # 1 correct of 4: of the six pairs, the three with the correct one are mixed.
    np.testing.assert_allclose(measured_informative_share([0, 1, 2, 4], 4, 2), [0, 1 / 2, 4 / 6, 0])
    np.testing.assert_allclose(measured_informative_share([0, 3, 4], 4, 4), [0, 1, 0])
    with pytest.raises(ValueError, match="pass@"):
        measured_informative_share([1], 4, 5)


def test_measured_share_is_unbiased_where_the_plug_in_is_not():
    rng, p, drawn = np.random.default_rng(6), 0.1, 4
    counts = rng.binomial(drawn, p, 40_000)
    truth = float(informative_share(p, 2))
    assert measured_informative_share(counts, drawn, 2).mean() == pytest.approx(truth, abs=0.005)
    assert informative_share(counts / drawn, 2).mean() < truth - 0.03


def test_first_visits_are_counts_of_the_visited_prompts():
    history = {"a": [0.25, 1.0], "b": [], "c": [0.0], "d": [0.875]}
    np.testing.assert_array_equal(first_visits(history, 8), [2, 0, 7])


def test_variance_moments_by_hand():
    # 1 of 4: three of the six pairs are mixed, in one of two orders: 1/4. 2 of 4: 4/6 / 2 = 1/3, and of the 24 orders
    # of four, 4 begin right, right, wrong, wrong: 1/6.
    first, second = variance_moments([0, 1, 2], 4)
    np.testing.assert_allclose(first, [0, 1 / 4, 1 / 3])
    np.testing.assert_allclose(second, [0, 0, 1 / 6])
    with pytest.raises(ValueError, match="at least 4 rollouts a visit, not 3"):
        variance_moments([1], 3)


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5])
def test_variance_moments_are_unbiased(p):
    counts = np.random.default_rng(9).binomial(8, p, 100_000)
    first, second = variance_moments(counts, 8)
    assert first.mean() == pytest.approx(p * (1 - p), abs=0.003)
    assert second.mean() == pytest.approx((p * (1 - p)) ** 2, abs=0.002)


def test_a_pool_of_one_rate_differs_within_groups_alone():
    counts = np.random.default_rng(10).binomial(8, 0.4, 50_000)
    first, second = (each.mean() for each in variance_moments(counts, 8))
    mean, variance = of_moments(0.24, 0.24**2)  # of 0.4 (1 - 0.4)
    assert (mean, variance.between) == (pytest.approx(0.24), 0)
    assert first - 4 * second == pytest.approx(variance.within, abs=0.005)


# --- coverage ---


def test_coverage_by_hand_leaves_out_the_unsolved():
    # (n + 1) / (c + 1) with n = 4: 5/2 and 5/5; the unsolved question does not count.
    assert coverage([1, 4, 0], 4, np.full(3, 1 / 3)) == pytest.approx((2.5 + 1) / 2)
    assert coverage([1, 4, 0], 4, np.array([0.6, 0.2, 0.2])) == pytest.approx((0.6 * 2.5 + 0.2) / 0.8)
    assert np.isnan(coverage([0, 0], 4, np.full(2, 0.5)))


def test_coverage_of_many_weightings_at_once():
    weights = np.array([[0.5, 0.5], [1.0, 0.0]])
    np.testing.assert_allclose(coverage([1, 4], 4, weights), [1.75, 2.5])


@pytest.mark.parametrize("p", [0.02, 0.2, 0.6, 0.95])
def test_coverage_never_overstates(p):
    counts = np.random.default_rng(7).binomial(12, p, 40_000)
    assert coverage(counts, 12, np.full(40_000, 1 / 40_000)) <= 1 / p * 1.01


# --- constants from files ---


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    return Results(make_results(tmp_path_factory.mktemp("results"), methods=("grpo", "random_one")))


@pytest.fixture(scope="module")
def comparison(results):
    return compare(results, "easy", ["grpo", "random_one"], [0, 1, 2], 200)


def test_base_coverage_counts_the_one_evaluation_that_all_seeds_share_once(results, comparison):
    counts = results.completions("easy", "grpo", 0)
    counts = counts[(counts["step"] == 0) & (counts["mode"] == "sampled")]
    correct = (counts["verdict"] == "correct").groupby([counts["benchmark"], counts["prompt"]]).sum()
    expected = []
    for _, group in correct.groupby(level=0):
        solved = group[group > 0]
        expected.append((len(group), len(solved), (5 / (solved + 1)).sum()))
    weight = np.array([solved / size for size, solved, _ in expected])
    by_benchmark = np.array([total / size for size, _, total in expected])
    found = base_coverage(comparison, "grpo")
    assert found.value == pytest.approx(by_benchmark.sum() / weight.sum())
    assert found.low <= found.value <= found.high
    assert found.low < found.high
    assert solvable_share(comparison, "grpo") == pytest.approx(weight.mean())


def test_pool_share_is_the_share_of_mixed_first_visits_when_groups_have_the_same_size(results):
    history = results.history("easy")
    found = pool_informative_share(history, 8, 8, 200)
    assert found.value == pytest.approx(np.mean([0 < visits[0] < 1 for visits in history.values()]))
    assert 0 <= found.low < found.value < found.high <= 1
    assert pool_informative_share(history, 8, 2, 200).value < found.value


def test_group_size_is_read_from_the_ledger(results):
    assert group_size(results.ledger("easy", "grpo", 0)) == 8
    assert group_size(results.profile_ledger("easy")) == 8


def test_spent_per_informative_group_counts_every_rollout(results):
    ledger = results.ledger("easy", "grpo", 1)
    rewards = ledger["reward"].to_numpy().reshape(-1, 8)
    mixed = (rewards.max(axis=1) > rewards.min(axis=1)).sum()
    assert spent_per_informative_group(ledger) == len(ledger) / mixed


def test_a_run_without_any_signal_spends_without_end():
    ledger = pd.DataFrame({"prompt": list("aabb"), "sample": [0, 1, 0, 1], "reward": [1.0, 1.0, 0.0, 0.0]})
    assert spent_per_informative_group(ledger) == math.inf


def test_a_group_that_is_sampled_in_parts_counts_once_and_when_it_is_complete():
    # Screened: a 1 0, b 1 1, c 0 1. In the next step a is completed by 0 0, and c, which is 0 1 0 1, later.
    rows = [("a", 0, 1.0), ("a", 1, 0.0), ("b", 0, 1.0), ("b", 1, 1.0), ("c", 0, 0.0), ("c", 1, 1.0)]
    rows += [("a", 2, 0.0), ("a", 3, 0.0), ("d", 0, 0.0), ("d", 1, 1.0), ("c", 2, 0.0), ("c", 3, 1.0)]
    ledger = pd.DataFrame(rows, columns=["prompt", "sample", "reward"])
    assert spent_per_informative_group(ledger) == 12 / 2


def test_measured_takes_the_interval_of_the_replicates():
    assert Measured.of(2, np.arange(100.0)) == Measured(2, 2, 97)


def test_constants_are_of_the_first_and_the_last_checkpoint(results, comparison):
    found, curve = measure(results, comparison, "grpo", 0.05), comparison.curve("grpo")
    assert (found.point.base, found.accuracy) == (pytest.approx(curve.mean[0]), pytest.approx(curve.mean[-1]))
    assert found.point.coverage == base_coverage(comparison, "grpo").value
    assert found.point.divergence == pytest.approx(float(binary_kl(curve.mean[-1], curve.mean[0])))
    assert (found.point.inverse_kl, found.point.prompts) == (math.inf, 24)
    np.testing.assert_allclose([each.base for each in found.replicates], curve.replicates[:, 0])
    np.testing.assert_allclose(found.accuracies, curve.replicates[:, -1])


def test_the_interval_of_the_constants_carries_into_curves_and_rows(results, comparison):
    found, bound = measure(results, comparison, "grpo", 0.05), find_bound("sharpening?dimension=10")
    accuracy = np.array([0.3, 0.6, 0.8])
    count, low, high = found.curve(bound, accuracy)
    cover = base_coverage(comparison, "grpo")
    # C d / eps^2 with eps = .8 and .4
    np.testing.assert_allclose(count, [0, cover.value * 10 / 0.64, cover.value * 10 / 0.16])
    np.testing.assert_allclose(low[1:], [cover.low * 10 / 0.64, cover.low * 10 / 0.16])
    np.testing.assert_allclose(high[1:], [cover.high * 10 / 0.64, cover.high * 10 / 0.16])
    reached = found.reached(bound)
    assert reached.value == pytest.approx(cover.value * 10 / (2 * (1 - found.accuracy)) ** 2)
    assert reached.low < reached.value < reached.high


def test_the_weight_of_the_kl_term_is_read_from_the_run(tmp_path):
    results = Results(make_results(tmp_path, methods=("grpo",), seeds=(0,)))
    told = tmp_path / "train/easy/grpo/0/provenance.json"
    write_json(told, {"settings": {"recipe": {"loss": {"kl": 0.02}}, "rollout": {"max_new_tokens": 64}}})
    comparison = compare(results, "easy", ["grpo"], [0], 20)
    assert measure(results, comparison, "grpo", 0.05).point.inverse_kl == pytest.approx(50)
    told.write_text("{}")
    with pytest.raises(DataError, match=r"grpo/0/provenance.json: holds no settings; delete it"):
        measure(results, comparison, "grpo", 0.05)


def test_the_relative_budget_counts_the_tokens_of_wrong_tries(results, comparison):
    rows = pd.concat([results.completions("easy", "grpo", seed) for seed in (0, 1, 2)])
    rows = rows[(rows["step"] == 0) & (rows["mode"] == "sampled")]
    accuracy = (rows["verdict"] == "correct").groupby(rows["benchmark"]).mean().mean()
    found = base_budget(results, comparison, "grpo")
    assert found.value == pytest.approx(64 / (30 / accuracy))  # all completions of the fixture have 30 tokens
    assert found.low < found.value < found.high


def test_tokens_until_the_first_solution_are_what_restarts_take():
    """Wald: mean tokens of a try over the share of right ones, here with short right answers and a limit of 20."""
    rng = np.random.default_rng(8)
    lengths, right = rng.integers(5, 21, size=200_000), rng.random(200_000) < 0.3
    lengths[right] = 8
    ends = np.flatnonzero(right)
    until = np.diff(np.concatenate([[0], lengths.cumsum()[ends]]))
    assert until.mean() == pytest.approx(lengths.mean() / right.mean(), rel=0.01)


def test_the_pool_s_gradient_is_of_its_first_visits(results):
    history = results.history("easy")
    (mean, variance), replicates = pool_gradient(history, 8, 300)
    correct = first_visits(history, 8)
    assert mean == pytest.approx((correct * (8 - correct) / 56).mean())
    sizes = [size for size, _ in replicates]
    assert np.quantile(sizes, 0.025) < mean < np.quantile(sizes, 0.975)
    assert variance.between >= 0
