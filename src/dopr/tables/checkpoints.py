"""What each rule for the reported checkpoint would give: the last, the best on validation, the best on the test itself.

The best on the test questions is 1-shot RLVR's own rule
(arXiv 2504.20571 reports the checkpoint with the best average over its six benchmarks); it is shown as that, with what
it adds by looking: choose on one half of each benchmark's questions, and take the score there minus that on the other
half. Halves are noisier than the whole, so the inflation of the whole is rather less than shown.
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

SPLITS = 200


def checkpoint_table(comparisons: Sequence[Comparison], validated: Sequence[Comparison]) -> Table:
    """One row a pool and method: accuracy by each rule; `validated` has the same runs on validation questions, or is
    empty."""
    records, rows = [], []
    for i, comparison in enumerate(comparisons):
        rules = {"last": last(comparison), "test": best(comparison)}
        if validated:
            rules["validation"] = best(validated[i])
        for method, evaluation in comparison.evaluations.items():
            at = {rule: accuracy(evaluation, chosen[method]) for rule, chosen in rules.items()}
            added = inflation(evaluation, derive_seed("inflation", comparison.pool, method))
            names = {"pool": comparison.pool, "method": method}
            records.append({**names, **{f"{rule}": value for rule, value in at.items()}, "inflation": added})
            shown = [percent(at[rule]) if rule in at else NONE for rule in ("last", "validation", "test")]
            rows.append([comparison.pool, display_name(method), *shown, f"{100 * added:+.1f}"])
    header = ["pool", "method", "last, %", "best on validation, %", "best on test (1-shot RLVR's rule), %"]
    return Table(pd.DataFrame(records), [*header, "of which by looking, points"], rows, left=2)


def accuracy(evaluation: Evaluation, chosen: IntArray) -> float:
    """Mean over runs of the sampled accuracy at each run's checkpoint."""
    by_run = evaluation.sampled @ even_weights(evaluation.benchmark)
    return float(by_run[np.arange(len(by_run)), chosen].mean())


def inflation(evaluation: Evaluation, seed: int) -> float:
    """Expected gain of a run's best checkpoint over what other questions say of it, in accuracy."""
    rng = np.random.default_rng(seed)
    gains = []
    for _ in range(SPLITS):
        half = random_half(evaluation.benchmark, rng)
        here, there = (_by_run(evaluation, members) for members in (half, ~half))
        chosen = here.argmax(axis=1)
        runs = np.arange(len(here))
        gains.append(float((here[runs, chosen] - there[runs, chosen]).mean()))
    return float(np.mean(gains))


def random_half(benchmark: IntArray, rng: np.random.Generator) -> np.ndarray:
    """Half of each benchmark's questions; of an odd number, one more or fewer by chance."""
    half = np.zeros(len(benchmark), dtype=bool)
    for name in np.unique(benchmark):
        members = rng.permutation(np.flatnonzero(benchmark == name))
        half[members[: (len(members) + int(rng.integers(2))) // 2]] = True
    return half


def _by_run(evaluation: Evaluation, members: np.ndarray) -> FloatArray:
    """Sampled accuracy on some questions, shape (runs, checkpoints without the starting policy)."""
    found: FloatArray = evaluation.sampled[:, 1:, members] @ even_weights(evaluation.benchmark[members])
    return found
