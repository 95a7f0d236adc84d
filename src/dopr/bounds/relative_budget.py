"""The relative budget: the token limit relative to the length of a solution, and its effect on the rollouts needed.

Source: Wachi et al., "A Relative-Budget Theory for Reinforcement Learning with Verifiable Rewards in Large Language
Model Reasoning", arXiv 2602.01523. The definition of xi, the three regimes and the best range are from its abstract,
which we read. The formulas of its theorems are known to us second-hand, without the functions that set their scale. So
they are not computed here.
"""

from __future__ import annotations

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
