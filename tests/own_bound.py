"""A bound as a user would write one, in a file of their own."""

from __future__ import annotations

import numpy as np

from dopr.analysis.statistics import FloatArray
from dopr.bounds.bound import Constants


def my_theorem(constants: Constants, accuracy: FloatArray, scale: float = 2.0) -> FloatArray:
    """Not a theorem of anyone's: a number of prompts that grows with the gain, for this test."""
    gain = np.maximum(accuracy - constants.base, 0)
    return scale * constants.coverage * gain / (1 - accuracy)
