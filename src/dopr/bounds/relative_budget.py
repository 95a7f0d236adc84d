"""The relative budget: the token limit relative to the length of a solution, and its effect on the rollouts needed.

Source: Wachi et al., "A Relative-Budget Theory for Reinforcement Learning with Verifiable Rewards in Large Language
Model Reasoning", arXiv 2602.01523. The definition of xi, the three regimes and the best range are from its abstract,
which we read. The formulas of its Theorems 5.2, 6.2 and 6.3 are second-hand. We do not know f and c0, which set their
scale. So the formulas give shapes here, and no number of rollouts.
"""

from __future__ import annotations

import math
from typing import Literal

from dopr.errors import UserError

Regime = Literal["deficient", "balanced", "ample"]
BEST = (1.5, 2.0)  # the range of xi that the abstract calls most efficient


def relative_budget(horizon: float, tokens: float) -> float:
    """Return xi = H / E[T].

    Args:
        horizon: H, the token limit.
        tokens: E[T], the mean tokens until the first correct solution under the starting policy.

    Raises:
        UserError: One of them is not positive.
    """
    if not (horizon > 0 and tokens > 0):
        raise UserError(f"need a token limit and a mean number of tokens above 0, not {horizon} and {tokens}")
    return horizon / tokens


def regime(xi: float) -> Regime:
    """Return the regime of xi: below, within or above the best range.

    The paper's regimes are limits (xi to 0, of order 1, to infinity) without borders. We take the best range as the
    balanced regime.
    """
    low, high = BEST
    return "deficient" if xi < low else "balanced" if xi <= high else "ample"


def iteration_rollouts(side: Regime, xi: float, kappa: float, informative: float = math.nan) -> float:
    """Return the rollouts of an iteration, up to a constant factor of each regime that we do not know.

    deficient: kappa^(-1/2) f(xi)^(-3/2); balanced: kappa^(-1/2); ample: xi kappa^(-1/2). Theorems 6.2 and 6.3 of the
    source, second-hand.

    Args:
        side: The regime.
        xi: The relative budget.
        kappa: Size of the step, as the divergence from the last policy in nats.
        informative: f(xi), for the deficient regime. We do not know it; nan gives nan.

    Raises:
        UserError: kappa is not positive.
    """
    if not kappa > 0:
        raise UserError(f"kappa must be above 0, not {kappa}")
    factor: float = {"deficient": informative**-1.5, "balanced": 1.0, "ample": xi}[side]
    return factor / math.sqrt(kappa)


def least_gain(kappa: float, deviation: float) -> float:
    """Return the least gain in accuracy of an iteration of size kappa, sqrt(kappa) sigma / 2; second-hand.

    Args:
        kappa: Size of the step, in nats.
        deviation: sigma, the standard deviation of the reward under the policy.
    """
    return 0.5 * math.sqrt(kappa) * deviation


def largest_gap(horizon: float, log_class: float, delta: float, constant: float, rollouts: float) -> float:
    """Return the largest gap H log(|R| / delta) / (c0 n): Theorem 5.2 of the source, second-hand.

    Args:
        horizon: H, in tokens.
        log_class: log|R| of the class of reward models, in nats.
        delta: Probability of failure.
        constant: c0(xi; kappa), which we do not know.
        rollouts: n.
    """
    return horizon * (log_class - math.log(delta)) / (constant * rollouts)
