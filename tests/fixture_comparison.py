"""How far two trainings of one policy may be apart, and are."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from torch import Tensor

from dopr.training.update import UpdateStatistics

# A log-probability near -4 is rounded to 2^-22 some tens of times; in bfloat16 logits near 1 are to 2^-8. Where a ratio
# is as near to the clip's end, a token more or less is clipped: one of 56, or in bfloat16 one of 25.
CLOSE: dict[str, dict[str, Any]] = {"float32": {"rel": 1e-3, "abs": 2e-5}, "bfloat16": {"rel": 0.1, "abs": 2**-8}}
CLIPPED = {"float32": 0.02, "bfloat16": 0.04}
# Weights (see apart): AdamW takes a whole step where a gradient is smaller than its rounding, to whichever side.
APART = {"float32": 0.02, "bfloat16": 0.5}


def numbers(statistics: UpdateStatistics) -> dict[str, float]:
    """The statistics by name."""
    return {**vars(statistics), "gap": statistics.gap.mean, "high": statistics.gap.high}


def assert_close(found: Mapping[str, float], expected: Mapping[str, float], dtype: str) -> None:
    """Statistics or metrics that have `clipped` among them."""
    rest, rest_expected = ({**values, "clipped": 0.0} for values in (found, expected))
    assert rest == pytest.approx(rest_expected, **CLOSE[dtype])
    assert found["clipped"] == pytest.approx(expected["clipped"], abs=CLIPPED[dtype])


def apart(found: Mapping[str, Tensor], expected: Mapping[str, Tensor], start: Mapping[str, Tensor]) -> float:
    """The distance of two ends by the length of the way to one of them, over all weights; single ones tell nothing."""
    assert set(found) == set(expected) <= set(start)
    off = sum(float((found[name].double() - weight.double()).square().sum()) for name, weight in expected.items())
    way = sum(float((weight.double() - start[name].double()).square().sum()) for name, weight in expected.items())
    return (off / way) ** 0.5
