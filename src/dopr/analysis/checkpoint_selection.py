"""Selection of the checkpoint that is reported for a run: the last, or the best on validation questions.

evaluate.checkpoint sets the rule.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dopr.analysis.comparison import Comparison, compare
from dopr.analysis.results import Results
from dopr.analysis.statistics import IntArray, even_weights

if TYPE_CHECKING:  # it imports pydantic, which no plotting script needs
    from dopr.config.evaluation import CheckpointRule

Chosen = Mapping[str, IntArray]  # method -> checkpoint index of each run


def last(comparison: Comparison) -> dict[str, IntArray]:
    """Select the last checkpoint of each run."""
    return {
        method: np.full(len(evaluation.seeds), len(evaluation.steps) - 1)
        for method, evaluation in comparison.evaluations.items()
    }


def best(comparison: Comparison) -> dict[str, IntArray]:
    """Select the checkpoint of each run with the highest sampled accuracy, the first of equals.

    The starting policy is never selected.
    """
    indices = {}
    for method, evaluation in comparison.evaluations.items():
        accuracy = evaluation.sampled @ even_weights(evaluation.benchmark)
        indices[method] = 1 + accuracy[:, 1:].argmax(axis=1)
    return indices


def validations(
    root: Path, rule: CheckpointRule, comparisons: Sequence[Comparison], replicates: int
) -> list[Comparison]:
    """Load the same runs on validation questions if the rule needs them; else return an empty list.

    Raises:
        DataError: An evaluation on validation questions is missing.
    """
    if rule == "last":
        return []
    results = Results(root, "validate")
    return [
        compare(
            results,
            comparison.pool,
            list(comparison.evaluations),
            next(iter(comparison.evaluations.values())).seeds,
            replicates,
        )
        for comparison in comparisons
    ]


def at_reported(comparisons: Sequence[Comparison], chosen: Sequence[Chosen]) -> list[Comparison]:
    """Return the comparisons with the chosen checkpoints only."""
    return [comparison.at(indices) for comparison, indices in zip(comparisons, chosen, strict=True)]


def reported(comparisons: Sequence[Comparison], validated: Sequence[Comparison]) -> list[dict[str, IntArray]]:
    """Select the checkpoints of each comparison: the best on `validated` if it is not empty, else the last."""
    return [best(comparison) for comparison in validated] or [last(comparison) for comparison in comparisons]
