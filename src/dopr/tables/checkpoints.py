"""Table of accuracies by the rule for the reported checkpoint: last, best on validation, best on the test questions.

The best on the test questions is the rule of 1-shot RLVR (arXiv 2504.20571 reports the checkpoint with the best average
over its six benchmarks). The table shows how much this choice inflates the accuracy: choose the checkpoint on one half
of each benchmark's questions, and take the score there minus the score on the other half. Halves are noisier than all
questions, so the inflation on all questions is somewhat smaller than shown.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from dopr.analysis.checkpoint_selection import best, last
from dopr.analysis.comparison import Comparison
from dopr.analysis.display_names import display_name
from dopr.analysis.scores import Evaluation
from dopr.analysis.statistics import FloatArray, IntArray, even_weights
from dopr.records import derive_seed
from dopr.tables.cells import NONE, percent
from dopr.tables.typeset import Table

SPLITS = 200  # random halves that the inflation is averaged over


def checkpoint_table(comparisons: Sequence[Comparison], validated: Sequence[Comparison]) -> Table:
    """Return one row per pool and method: the accuracy by each rule.

    validated: the same runs on the validation questions, or empty.
    """
    records, rows = [], []
    for i, comparison in enumerate(comparisons):
        rules = {"last": last(comparison), "test": best(comparison)}
        if validated:
            rules["validation"] = best(validated[i])
        for method, evaluation in comparison.evaluations.items():
            accuracies = {rule: accuracy(evaluation, chosen[method]) for rule, chosen in rules.items()}
            inflated = inflation(evaluation, derive_seed("inflation", comparison.pool, method))
            names = {"pool": comparison.pool, "method": method}
            records.append({**names, **{f"{rule}": value for rule, value in accuracies.items()}, "inflation": inflated})
            cells = [
                percent(accuracies[rule]) if rule in accuracies else NONE for rule in ("last", "validation", "test")
            ]
            rows.append([comparison.pool, display_name(method), *cells, f"{100 * inflated:+.1f}"])
    header = ["pool", "method", "last, %", "best on validation, %", "best on test (1-shot RLVR's rule), %"]
    return Table(pd.DataFrame(records), [*header, "of which by looking, points"], rows, left=2)


def accuracy(evaluation: Evaluation, chosen: IntArray) -> float:
    """Return the mean over runs of the sampled accuracy at each run's chosen checkpoint, an index `[runs]`."""
    by_run = evaluation.sampled @ even_weights(evaluation.benchmark)
    return float(by_run[np.arange(len(by_run)), chosen].mean())


def inflation(evaluation: Evaluation, seed: int) -> float:
    """Return the expected accuracy of a run's best checkpoint minus its accuracy on questions not used to choose it."""
    rng = np.random.default_rng(seed)
    gains = []
    for _ in range(SPLITS):
        half = random_half(evaluation.benchmark, rng)
        chosen_half, other_half = (_by_run(evaluation, members) for members in (half, ~half))
        chosen = chosen_half.argmax(axis=1)
        runs = np.arange(len(chosen_half))
        gains.append(float((chosen_half[runs, chosen] - other_half[runs, chosen]).mean()))
    return float(np.mean(gains))


def random_half(benchmark: IntArray, rng: np.random.Generator) -> np.ndarray:
    """Return a random mask of half of each benchmark's questions; of an odd number, half rounded up or down."""
    half = np.zeros(len(benchmark), dtype=bool)
    for b in np.unique(benchmark):
        members = rng.permutation(np.flatnonzero(benchmark == b))
        half[members[: (len(members) + int(rng.integers(2))) // 2]] = True
    return half


def _by_run(evaluation: Evaluation, members: np.ndarray) -> FloatArray:
    """Return the sampled accuracy on some questions, `[runs, checkpoints]`, without the base policy."""
    by_run: FloatArray = evaluation.sampled[:, 1:, members] @ even_weights(evaluation.benchmark[members])
    return by_run
