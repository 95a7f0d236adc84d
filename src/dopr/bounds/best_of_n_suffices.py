"""The sharpening lower bound's match from above: prompts and samples with which imitating the best of N is enough."""

from __future__ import annotations

import numpy as np

from dopr.analysis.statistics import FloatArray, Numbers
from dopr.bounds.bound import Constants
from dopr.bounds.sharpening import class_size
from dopr.errors import UserError


def enough_prompts(
    log_class: Numbers, epsilon: Numbers, delta: Numbers, rho: float, constant: float = 1.0
) -> FloatArray:
    """Prompts n = c log(|Pi| / rho) / (delta eps) that are enough for sharpening by imitation of the best of N.

    Theorem: the upper bound that matches the sharpening lower bound. Source: Huang et al., arXiv 2412.01951, Theorem
        4.1; stated, read in full. What delta and rho stand for is recalled, not read again: with probability 1 - rho,
        the result puts at least 1 - delta of its mass on y*, on all but a share eps of prompts.
    Assumes: supervised fine-tuning on the best of N samples of each prompt, an exact maximum-likelihood fit in a class
        Pi that holds what is imitated. That is not GRPO: it says that this many prompts can be enough for a learner,
        not that they are for this one.
    The constant c is not given in the source; 1 stands in for it.

    Args:
        log_class: log|Pi|, in nats. epsilon, delta, rho: within (0, 1]. Arrays are broadcast together.

    Raises:
        UserError: an argument is out of range.
    """
    _check(epsilon=epsilon, delta=delta, rho=rho)
    return np.asarray(constant * (log_class - np.log(rho)) / (np.asarray(delta) * np.asarray(epsilon)))


def enough_samples(coverage: Numbers, epsilon: Numbers, delta: Numbers, constant: float = 1.0) -> FloatArray:
    """Samples a prompt N = c C log(2 / delta) / eps; source, symbols and reservations as in enough_prompts.

    Raises:
        UserError: an argument is out of range.
    """
    _check(epsilon=epsilon, delta=delta)
    return np.asarray(constant * np.asarray(coverage) * np.log(2 / np.asarray(delta)) / np.asarray(epsilon))


def bound(constants: Constants, accuracy: FloatArray, dimension: float = 1.0) -> FloatArray:
    """Prompts that are enough for an accuracy: enough_prompts with (1 - eps) (1 - delta) = accuracy, eps = delta.

    That step is ours, and log|Pi| is class_size(dimension, C, eps), as in the lower bound; rho is constants.delta.
    """
    share = 1 - np.sqrt(accuracy)
    within = share > 0
    share = np.where(within, share, 1.0)
    needed = enough_prompts(class_size(dimension, constants.coverage, share), share, share, constants.delta)
    return np.where(within, needed, np.inf)


def _check(**shares: Numbers) -> None:
    for name, share in shares.items():
        values = np.asarray(share, dtype=np.float64)
        if (values <= 0).any() or (values > 1).any():
            raise UserError(f"{name} must lie within (0, 1], not {share}")
