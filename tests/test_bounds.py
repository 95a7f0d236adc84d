"""Bounds in rollouts and prompts against numbers worked out by hand, limits, monotonicity and simulation."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from dopr.bounds import best_of_n_suffices, change_of_measure, regularised_bandit, sharpening
from dopr.bounds.best_of_n_suffices import enough_prompts
from dopr.bounds.bound import Constants
from dopr.bounds.change_of_measure import binary_kl, rollouts_to_distinguish
from dopr.bounds.regularised_bandit import regularised_rollouts
from dopr.bounds.sharpening import class_size, sharpening_rollouts

# A base of 36 %, C = 4, no KL term.
CONSTANTS = Constants(base=0.36, coverage=4, divergence=0.3, inverse_kl=math.inf, delta=0.05, prompts=100)
ACCURACIES = np.linspace(0.01, 0.999, 200)


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
    p, q = rng.random((2, 200))
    assert (binary_kl(p, q) >= 0).all()
    assert (binary_kl(p, p) >= 0).all()
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


def test_kl_of_means_is_no_more_than_the_mean_of_kls():
    """So that kl of two mean accuracies is a floor under the mean divergence of two policies over the questions."""
    rng = np.random.default_rng(1)
    p, q = rng.beta(1, 1, size=(2, 50, 30))
    assert (binary_kl(p.mean(axis=1), q.mean(axis=1)) <= binary_kl(p, q).mean(axis=1)).all()


def test_the_curve_counts_nothing_for_a_policy_that_is_no_better():
    found = change_of_measure.bound(CONSTANTS, np.array([0.2, 0.36, 0.736, 1.0]))
    np.testing.assert_allclose(found, [0, 0, 7.2465, 2.12026 / -math.log(0.36)], rtol=1e-3)
    assert np.isnan(change_of_measure.bound(replace(CONSTANTS, base=math.nan), ACCURACIES)).all()


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


@pytest.mark.parametrize(("dimension", "c", "eps"), [(0.5, 2, 0.1), (1, 0.9, 0.1), (1, 2, 0), (1, 2, 1.1)])
def test_sharpening_refuses_what_the_theorem_excludes(dimension, c, eps):
    with pytest.raises(ValueError, match="need d >= 1"):
        class_size(dimension, c, eps)


def test_the_sharpening_curve_is_vacuous_up_to_one_half_and_rises():
    found = sharpening.bound(CONSTANTS, np.array([0.3, 0.49, 0.5, 0.75, 0.9, 1.0]), dimension=10)
    # eps = 2 (1 - accuracy) = 1, .5, .2: C d / eps^2 = 40, 160, 1000
    np.testing.assert_allclose(found, [0, 0, 40, 160, 1000, np.inf])
    rising = sharpening.bound(CONSTANTS, ACCURACIES)
    assert (np.diff(rising) >= 0).all()
    assert np.isnan(sharpening.bound(replace(CONSTANTS, coverage=math.nan), np.array([0.3, 0.9]))).all()


def test_accuracy_is_at_most_one_less_half_of_what_is_not_sharpened():
    """The step from shares of questions to accuracy, on random policies."""
    rates = np.random.default_rng(2).beta(0.5, 0.5, size=(200, 40))
    unsharpened = (rates <= 0.5).mean(axis=1)
    assert (rates.mean(axis=1) <= 1 - unsharpened / 2).all()


# --- what is enough ---


def test_enough_prompts_by_hand():
    # (ln(e^3) - ln(.05)) / (.1 * .2) = (3 + 2.99573) / .02
    assert enough_prompts(3.0, 0.2, 0.1, 0.05) == pytest.approx(5.99573 / 0.02, rel=1e-5)


def test_enough_grows_with_what_is_asked():
    found = best_of_n_suffices.bound(CONSTANTS, ACCURACIES)
    assert (np.diff(found) > 0).all()
    assert best_of_n_suffices.bound(CONSTANTS, np.array([1.0])) == np.inf


@pytest.mark.parametrize("shares", [(0, 0.1, 0.1), (0.1, 1.2, 0.1), (0.1, 0.1, 0)])
def test_enough_refuses_what_is_no_share(shares):
    with pytest.raises(ValueError, match=r"must lie within \(0, 1\]"):
        enough_prompts(1.0, *shares)


# --- KL-regularised bandits ---


def test_regularised_rollouts_by_hand_and_at_the_change_of_rates():
    # eps = .001: eta / eps = 1000 eta against 1 / eps^2 = 10^6; they meet at eta = 1000.
    assert regularised_rollouts(0.001, 100) == pytest.approx(1e5)
    assert regularised_rollouts(0.001, 1000) == pytest.approx(1e6)
    assert regularised_rollouts(0.001, math.inf, log_cover=3) == pytest.approx(3e6)
    assert regularised_rollouts(0.0, 10) == math.inf


def test_it_does_not_apply_to_large_gaps_or_strong_regularisation():
    assert np.isnan(regularised_rollouts(1 / 256, 100))
    assert np.isnan(regularised_rollouts(0.001, 4))
    found = regularised_bandit.bound(CONSTANTS, np.array([0.5, 0.9, 0.996, 0.997]))
    np.testing.assert_array_equal(np.isnan(found), [True, True, True, False])
    assert np.isnan(regularised_bandit.bound(replace(CONSTANTS, inverse_kl=math.nan), np.array([0.999])))


def test_it_falls_with_the_gap_and_grows_with_the_freedom_to_move():
    gaps = np.geomspace(1e-5, 1 / 300, 40)
    assert (np.diff(regularised_rollouts(gaps, 50)) < 0).all()
    assert (regularised_rollouts(gaps, 50) <= regularised_rollouts(gaps, 500)).all()
    with pytest.raises(ValueError, match="at least 0"):
        regularised_rollouts(-0.1, 50)


def test_a_bandit_needs_the_second_rate_without_regularisation():
    """Two arms that differ by eps: a test with half of 1 / eps^2 pulls errs often, the best one included."""
    rng, gap = np.random.default_rng(4), 0.003
    pulls = int(0.5 * float(regularised_rollouts(gap, math.inf)))
    means = rng.binomial(pulls, [0.5, 0.5 + gap], size=(4000, 2))
    assert (means[:, 0] >= means[:, 1]).mean() > 0.05
