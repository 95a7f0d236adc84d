"""Which checkpoint of a run is reported: the last, or the best on validation questions (evaluate.checkpoint)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dopr.analysis.comparison import Comparison, compare
from dopr.analysis.results import Results
from dopr.analysis.statistics import IntArray, even_weights

if TYPE_CHECKING:  # it loads pydantic, which no program that draws needs
    from dopr.config.evaluation import CheckpointRule

Chosen = Mapping[str, IntArray]  # method -> the place of each run's checkpoint


def last(comparison: Comparison) -> dict[str, IntArray]:
    """The last checkpoint of each run."""
    return {
        method: np.full(len(evaluation.seeds), len(evaluation.steps) - 1)
        for method, evaluation in comparison.evaluations.items()
    }


def best(comparison: Comparison) -> dict[str, IntArray]:
    """The checkpoint of each run with the highest sampled accuracy, the first of equals; never the starting policy."""
    found = {}
    for method, evaluation in comparison.evaluations.items():
        by_run = evaluation.sampled @ even_weights(evaluation.benchmark)
        found[method] = 1 + by_run[:, 1:].argmax(axis=1)
    return found


def validations(
    root: Path, rule: CheckpointRule, comparisons: Sequence[Comparison], replicates: int
) -> list[Comparison]:
    """The same runs on validation questions, if the rule needs them; else none.

    Raises:
        DataError: an evaluation on validation questions is missing.
    """
    if rule == "last":
        return []
    results = Results(root, "validate")
    return [
        compare(results, each.pool, list(each.evaluations), next(iter(each.evaluations.values())).seeds, replicates)
        for each in comparisons
    ]


def at_reported(comparisons: Sequence[Comparison], chosen: Sequence[Chosen]) -> list[Comparison]:
    """The comparisons with the chosen checkpoints alone."""
    return [comparison.at(places) for comparison, places in zip(comparisons, chosen, strict=True)]


def reported(comparisons: Sequence[Comparison], validated: Sequence[Comparison]) -> list[dict[str, IntArray]]:
    """The checkpoints of each comparison: the best of `validated`, if there are any, or the last."""
    return [best(comparison) for comparison in validated] or [last(comparison) for comparison in comparisons]
