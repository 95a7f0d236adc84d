"""The upper bound that matches the sharpening lower bound: what imitation of best-of-N needs."""

from __future__ import annotations

import numpy as np

from dopr.analysis.statistics import FloatArray, Numbers
from dopr.bounds.bound import Constants, Kind
from dopr.bounds.sharpening import class_size
from dopr.errors import UserError

KIND: Kind = "enough for another learner"


def enough_prompts(
    log_class: Numbers, epsilon: Numbers, delta: Numbers, rho: float, constant: float = 1.0
) -> FloatArray:
    """Return the prompts n = c log(|Pi| / rho) / (delta eps) that suffice for sharpening by imitation of best-of-N.

    Theorem: The upper bound that matches the sharpening lower bound. Source: Huang et al., arXiv 2412.01951, Theorem
        4.1, which we read in full. The meaning of delta and rho is from memory: with probability 1 - rho, the result
        puts at least 1 - delta of its mass on y*, on all but a share eps of prompts.
    Assumes: Supervised fine-tuning on the best of N samples of each prompt, and an exact maximum-likelihood fit in a
        class Pi that contains the imitated policy. GRPO is another learner: this many prompts can suffice for some
        learner, and may not for GRPO.
    The source does not give the constant c. We use 1.

    Args:
        log_class: log|Pi|, in nats.
        epsilon, delta, rho: Within (0, 1]. Arrays are broadcast together.
        constant: c.

    Raises:
        UserError: An argument is out of range.
    """
    _check(epsilon=epsilon, delta=delta, rho=rho)
    return np.asarray(constant * (log_class - np.log(rho)) / (np.asarray(delta) * np.asarray(epsilon)))


def bound(constants: Constants, accuracy: FloatArray, dimension: float = 1.0) -> FloatArray:
    """Return the prompts that suffice for an accuracy.

    They are enough_prompts with (1 - eps)(1 - delta) = accuracy and eps = delta. This step is ours. log|Pi| is
    class_size(dimension, C, eps), as in the lower bound, and rho is constants.delta.
    """
    share = 1 - np.sqrt(accuracy)
    applies = share > 0
    share = np.where(applies, share, 1.0)
    prompts = enough_prompts(class_size(dimension, constants.coverage, share), share, share, constants.delta)
    return np.where(applies, prompts, np.inf)


def _check(**shares: Numbers) -> None:
    for name, share in shares.items():
        values = np.asarray(share, dtype=np.float64)
        if (values <= 0).any() or (values > 1).any():
            raise UserError(f"{name} must lie within (0, 1], not {share}")
