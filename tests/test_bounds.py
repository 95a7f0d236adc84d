"""Bounds against numbers worked out by hand, limits, monotonicity and simulation; and their measured constants."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from dopr.bounds import (
    binary_kl,
    class_size,
    coverage,
    first_visits,
    informative_share,
    measured_informative_share,
    rollouts_per_informative_group,
    rollouts_to_distinguish,
    sharpening_rollouts,
    unsharpened_floor,
)
from dopr.comparison import compare
from dopr.constants import (
    Measured,
    base_coverage,
    group_size,
    pool_informative_share,
    solvable_share,
    spent_per_informative_group,
    unsharpened,
)
from dopr.results import Results
from dopr.statistics import even_weights
from fixture_results import make_results

# --- change of measure ---


def test_kl_by_hand():
    # .736 ln(.736/.36) + .264 ln(.264/.64) = .736 * .71517 - .264 * .88551 = .52637 - .23377
    assert binary_kl(0.736, 0.36) == pytest.approx(0.2926, abs=1e-4)
    assert binary_kl(0.5, 0.25) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))


def test_kl_limits():
    assert binary_kl(0.3, 0.3) == 0
    assert binary_kl(0, 0.5) == pytest.approx(math.log(2))
    assert binary_kl(1, 0.5) == pytest.approx(math.log(2))
    assert binary_kl(0.5, 0) == math.inf
    assert binary_kl(0, 0) == 0


def test_kl_is_never_negative_and_refuses_what_is_no_probability():
    rng = np.random.default_rng(0)
    assert all(binary_kl(p, q) >= -1e-12 for p, q in rng.random((200, 2)))
    with pytest.raises(ValueError, match="probabilities"):
        binary_kl(1.2, 0.5)


def test_rollouts_to_distinguish_by_hand():
    # ln(1 / (2.4 * .05)) = ln 8.3333 = 2.12026; / .29259 = 7.2465: eight graded samples
    found = rollouts_to_distinguish(base=0.36, trained=0.736, delta=0.05)
    assert found == pytest.approx(7.2465, abs=1e-3)
    assert math.ceil(found) == 8


def test_rollouts_to_distinguish_grow_as_the_rates_meet_and_as_errors_get_rarer():
    near = [rollouts_to_distinguish(0.5, 0.5 + gap, 0.05) for gap in (0.4, 0.2, 0.1, 0.05)]
    assert near == sorted(near)
    assert rollouts_to_distinguish(0.5, 0.5, 0.05) == math.inf
    assert rollouts_to_distinguish(0.5, 0.7, 0.01) > rollouts_to_distinguish(0.5, 0.7, 0.1)


def test_an_error_so_large_that_guessing_will_do_needs_nothing():
    assert rollouts_to_distinguish(0.2, 0.8, 0.45) == 0  # 2.4 * .45 > 1


@pytest.mark.parametrize("delta", [0, 0.5, -0.1, 1])
def test_delta_must_make_sense(delta):
    with pytest.raises(ValueError, match="delta"):
        rollouts_to_distinguish(0.2, 0.8, delta)


def test_no_test_beats_the_change_of_measure():
    """The sequential likelihood-ratio test at error delta uses more rollouts on average than the bound."""
    p0, p1, delta = 0.3, 0.6, 0.05
    rng, limit = np.random.default_rng(0), math.log((1 - delta) / delta)
    lengths, errors = [], 0
    for _ in range(2000):
        ratio, n = 0.0, 0
        while abs(ratio) < limit:
            success = rng.random() < p1
            ratio += math.log(p1 / p0) if success else math.log((1 - p1) / (1 - p0))
            n += 1
        lengths.append(n)
        errors += ratio < 0
    assert errors / 2000 <= delta
    assert np.mean(lengths) >= rollouts_to_distinguish(p0, p1, delta)


# --- sharpening ---


def test_class_size_by_hand():
    assert class_size(3, math.e, 1) == pytest.approx(6)  # 3 (1 + ln e)
    assert class_size(1, 1, 1) == pytest.approx(1)


def test_sharpening_rollouts_by_hand():
    # C = 4, eps = .5, log|Pi| = 10: 4 * 10 / (.25 * (1 + ln 8)) = 160 / 3.07944
    assert sharpening_rollouts(4, 10, 0.5) == pytest.approx(160 / 3.07944, rel=1e-5)
    assert sharpening_rollouts(4, 10, 0.5, constant=0.5) == pytest.approx(80 / 3.07944, rel=1e-5)


def test_with_the_theorems_own_class_the_bound_is_c_d_over_eps_squared():
    for c, d, eps in [(2, 1, 0.5), (5, 7, 0.1), (30, 100, 0.02)]:
        assert sharpening_rollouts(c, class_size(d, c, eps), eps) == pytest.approx(c * d / eps**2)


def test_the_floor_is_the_inverse_of_the_bound():
    for eps in (0.05, 0.3, 0.9):
        rollouts = sharpening_rollouts(6, class_size(20, 6, eps), eps)
        assert unsharpened_floor(6, 20, rollouts) == pytest.approx(eps)


def test_the_floor_falls_with_rollouts_and_is_vacuous_below_c_d():
    floor = unsharpened_floor(4, 10, [1, 39, 40, 160, 4000])
    np.testing.assert_allclose(floor, [1, 1, 1, 0.5, 0.1])


@pytest.mark.parametrize(("dimension", "c", "eps"), [(0.5, 2, 0.1), (1, 0.9, 0.1), (1, 2, 0), (1, 2, 1.1)])
def test_sharpening_refuses_what_the_theorem_excludes(dimension, c, eps):
    with pytest.raises(ValueError, match="need d >= 1"):
        class_size(dimension, c, eps)


# --- informative groups ---


def test_informative_share_by_hand():
    assert informative_share(0.5, 2) == pytest.approx(0.5)
    assert informative_share(0.5, 8) == pytest.approx(1 - 2 / 256)
    np.testing.assert_allclose(informative_share([0, 1, 0.2], 2), [0, 0, 0.32])


def test_informative_share_is_largest_at_one_half_and_symmetric():
    p = np.linspace(0, 1, 101)
    for group in (2, 4, 16):
        q = informative_share(p, group)
        assert p[q.argmax()] == pytest.approx(0.5)
        np.testing.assert_allclose(q, q[::-1])
        assert (informative_share(p, group + 1) >= q).all()


def test_simulated_groups_agree_with_q_and_with_the_rollouts_it_implies():
    rng, p, group = np.random.default_rng(3), 0.1, 6
    rewards = rng.random((40_000, group)) < p
    mixed = rewards.any(axis=1) & ~rewards.all(axis=1)
    assert mixed.mean() == pytest.approx(float(informative_share(p, group)), abs=0.01)
    spent = len(rewards) * group / mixed.sum()
    assert spent == pytest.approx(rollouts_per_informative_group(float(informative_share(p, group)), group), rel=0.02)


def test_a_pool_is_as_informative_as_the_mean_of_its_prompts():
    """Uniform sampling of a pool with 3 of 4 prompts dead: 4 times the rollouts, whatever the fourth needs."""
    rng, group = np.random.default_rng(5), 4
    rates = np.array([0, 0, 1, 0.5])
    rewards = rng.random((40_000, group)) < rates[rng.integers(0, 4, 40_000)][:, None]
    mixed = rewards.any(axis=1) & ~rewards.all(axis=1)
    expected = rollouts_per_informative_group(float(informative_share(rates, group).mean()), group)
    assert len(rewards) * group / mixed.sum() == pytest.approx(expected, rel=0.02)
    assert expected == pytest.approx(4 * rollouts_per_informative_group(float(informative_share(0.5, group)), group))


def test_without_signal_no_number_of_rollouts_is_enough():
    assert rollouts_per_informative_group(0, 8) == math.inf


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


def test_base_coverage_pools_the_samples_of_every_seed(results, comparison):
    counts = pd.concat([results.completions("easy", "grpo", seed) for seed in (0, 1, 2)])
    counts = counts[(counts["step"] == 0) & (counts["mode"] == "sampled")]
    correct = (counts["verdict"] == "correct").groupby([counts["benchmark"], counts["prompt"]]).sum()
    expected = []
    for _, group in correct.groupby(level=0):
        solved = group[group > 0]
        expected.append((len(group), len(solved), (13 / (solved + 1)).sum()))
    weight = np.array([solved / size for size, solved, _ in expected])
    by_benchmark = np.array([total / size for size, _, total in expected])
    found = base_coverage(comparison, "grpo")
    assert found.value == pytest.approx(by_benchmark.sum() / weight.sum())
    assert found.low <= found.value <= found.high
    assert found.low < found.high
    assert solvable_share(comparison, "grpo") == pytest.approx(weight.mean())


def test_unsharpened_is_the_share_of_questions_at_or_below_one_half(comparison):
    evaluation = comparison.evaluations["grpo"]
    flat = (evaluation.correct <= 2).astype(float)  # of 4 samples
    np.testing.assert_allclose(unsharpened(comparison, "grpo").by_seed, flat @ even_weights(evaluation.benchmark))


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
    assert spent_per_informative_group(results.metrics("easy", "grpo", 1), 8) == pytest.approx(len(ledger) / mixed)


def test_a_run_without_any_signal_spends_without_end():
    metrics = pd.DataFrame({"rollouts": [8, 16], "signal": [0.0, 0.0]})
    assert spent_per_informative_group(metrics, 8) == math.inf


def test_measured_takes_the_interval_of_the_replicates():
    assert Measured.of(2, np.arange(100.0)) == Measured(2, 2, 97)
