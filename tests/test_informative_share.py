"""The share of informative groups against enumeration, limits and simulation."""

from __future__ import annotations

import math
from itertools import product

import numpy as np
import pytest

from dopr.analysis.informative_share import informative_share, rollouts_per_informative_group


@pytest.mark.parametrize("group", [2, 3, 5, 8])
def test_informative_share_by_enumeration_of_every_group(group):
    for p in (0.0, 0.1, 0.5, 0.9, 1.0):
        chance = 0.0
        for rewards in product((0, 1), repeat=group):
            if len(set(rewards)) > 1:
                chance += p ** sum(rewards) * (1 - p) ** (group - sum(rewards))
        assert informative_share(p, group) == pytest.approx(chance, abs=1e-12)


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
