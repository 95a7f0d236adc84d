"""The relative budget: whether a token limit leaves room for a solution, and what that makes of the rollouts needed.

Source: Wachi et al., "A Relative-Budget Theory for Reinforcement Learning with Verifiable Rewards in Large Language
Model Reasoning", arXiv 2602.01523. The definition of xi, the three regimes and the best range are stated in its
abstract, which was read; the formulas of its Theorems 5.2, 6.2 and 6.3 are second-hand, and of f and c0, which set
their height, we know nothing. So they give shapes here, and no number of rollouts.
"""

from __future__ import annotations

import math
from typing import Literal

from dopr.errors import UserError

Regime = Literal["deficient", "balanced", "ample"]
BEST = (1.5, 2.0)  # the range of xi that the abstract calls most efficient


def relative_budget(horizon: float, tokens: float) -> float:
    """xi = H / E[T]: token limit over the mean tokens until the first correct solution under the starting policy.

    Raises:
        UserError: one of them is not positive.
    """
    if not (horizon > 0 and tokens > 0):
        raise UserError(f"need a token limit and a mean number of tokens above 0, not {horizon} and {tokens}")
    return horizon / tokens


def regime(xi: float) -> Regime:
    """The side of the best range that xi lies on.

    The paper's regimes are limits (xi to 0, of order 1, to infinity) without borders; the range stated as best is
    taken for the balanced one, which is ours.
    """
    low, high = BEST
    return "deficient" if xi < low else "balanced" if xi <= high else "ample"


def iteration_rollouts(side: Regime, xi: float, kappa: float, informative: float = math.nan) -> float:
    """Rollouts an iteration needs, up to a constant factor of each regime that our source does not give.

    deficient: kappa^(-1/2) f(xi)^(-3/2); balanced: kappa^(-1/2); ample: xi kappa^(-1/2). Theorems 6.2 and 6.3 of the
    source, second-hand.

    Args:
        kappa: size of the step in divergence from the last policy, nats. informative: f(xi), for the deficient regime;
            unknown to us, and nan gives nan.

    Raises:
        UserError: kappa is not positive.
    """
    if not kappa > 0:
        raise UserError(f"kappa must be above 0, not {kappa}")
    factor: float = {"deficient": informative**-1.5, "balanced": 1.0, "ample": xi}[side]
    return factor / math.sqrt(kappa)


def least_gain(kappa: float, deviation: float) -> float:
    """Accuracy gained in an iteration of size kappa: at least sqrt(kappa) sigma / 2.

    Second-hand, as iteration_rollouts. deviation: sigma, the standard deviation of the reward under the policy.
    """
    return 0.5 * math.sqrt(kappa) * deviation


def largest_gap(horizon: float, log_class: float, delta: float, constant: float, rollouts: float) -> float:
    """gap <= H log(|R| / delta) / (c0 n): Theorem 5.2 of the source, second-hand.

    Args:
        horizon: H, tokens. log_class: log|R|, nats, of the class of reward models. delta: chance of failure.
        constant: c0(xi; kappa), which our source does not give. rollouts: n.
    """
    return horizon * (log_class - math.log(delta)) / (constant * rollouts)
