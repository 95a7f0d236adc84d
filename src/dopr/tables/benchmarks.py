"""Accuracy by benchmark: a table of the reported checkpoints, and the scores of all checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from dopr.analysis.comparison import Comparison
from dopr.analysis.display_names import display_name
from dopr.analysis.pass_at_k import pass_at_k
from dopr.analysis.scores import FAULTS, Evaluation
from dopr.analysis.statistics import IntArray
from dopr.tables.cells import percent
from dopr.tables.typeset import Table


def benchmark_table(
    comparisons: Sequence[Comparison], final: Sequence[Comparison], pass_at: Sequence[int], reference: str
) -> Table:
    """Return one row per method and benchmark, at the reported checkpoint (`final`), as means over seeds.

    The base policy comes first; its rows are the reference method's first checkpoint. avg@n is the mean over n samples;
    shares of faults are those of the sampled completions.
    """
    records, rows = [], []
    for comparison, reported in zip(comparisons, final, strict=True):
        for method in ("base", *comparison.evaluations):
            evaluation = starting_policy(comparison, reference) if method == "base" else reported.evaluations[method]
            for record in _at_last_checkpoint(evaluation, pass_at):
                records.append({"pool": comparison.pool, "method": method, **record})
                numbers = [percent(value) for name, value in record.items() if name != "benchmark"]
                rows.append([comparison.pool, display_name(method), record["benchmark"], *numbers])
    samples = next(iter(final[0].evaluations.values())).samples
    shown = ["greedy", average(samples).replace("_at_", "@"), *(f"pass@{k}" for k in pass_at), *FAULTS]
    return Table(pd.DataFrame(records), ["pool", "method", "benchmark", *shown], rows, left=3)


def starting_policy(comparison: Comparison, method: str) -> Evaluation:
    """Return the first checkpoint of a method's runs."""
    evaluation = comparison.evaluations[method]
    return evaluation.at(np.zeros(len(evaluation.seeds), dtype=np.int64))


def _at_last_checkpoint(evaluation: Evaluation, pass_at: Sequence[int]) -> list[dict[str, Any]]:
    measures = {
        **_measures(evaluation, pass_at),
        **{f"{name}_share": values for name, values in evaluation.faults.items()},
    }
    return [
        {
            "benchmark": benchmark,
            **{name: values[:, -1, evaluation.benchmark == b].mean() for name, values in measures.items()},
        }
        for b, benchmark in enumerate(evaluation.benchmarks)
    ]


def _measures(evaluation: Evaluation, pass_at: Sequence[int]) -> dict[str, Any]:
    """Return arrays `[seeds, checkpoints, questions]` by column name."""
    passes = {}
    for k in pass_at:
        passes[f"pass_at_{k}"] = np.full(evaluation.correct.shape, np.nan)
        # A k above every question's samples leaves some questions here, so that pass_at_k refuses it.
        enough = evaluation.samples >= min(k, int(evaluation.samples.max()))
        estimates = pass_at_k(evaluation.samples[enough], evaluation.correct[:, enough], k)
        passes[f"pass_at_{k}"][:, enough] = estimates
    return {"greedy": evaluation.greedy, average(evaluation.samples): evaluation.sampled, **passes}


def average(samples: IntArray) -> str:
    """Return `avg_at_N` if all questions have N samples at all checkpoints, else `avg_at_k`."""
    numbers = np.unique(samples).tolist()
    return f"avg_at_{numbers[0] if len(numbers) == 1 else 'k'}"


def scores(comparisons: Sequence[Comparison], pass_at: Sequence[int]) -> pd.DataFrame:
    """Return one row per pool, method, seed, checkpoint and benchmark: greedy, avg@n, pass@k, rollouts and tokens."""
    return pd.concat(
        [_scores(evaluation, pass_at) for comparison in comparisons for evaluation in comparison.evaluations.values()],
        ignore_index=True,
    )


def _scores(evaluation: Evaluation, pass_at: Sequence[int]) -> pd.DataFrame:
    seeds, checkpoints, benchmarks = len(evaluation.seeds), len(evaluation.steps), len(evaluation.benchmarks)
    shape = (seeds, checkpoints, benchmarks)
    s, c, b = (index.ravel() for index in np.indices(shape))
    columns = {
        "pool": evaluation.name,
        "method": evaluation.method,
        "seed": np.array(evaluation.seeds)[s],
        "step": evaluation.steps[c],
        "rollouts": evaluation.rollouts[c].astype(np.int64),
        "tokens": evaluation.tokens[s, c].astype(np.int64),
        "benchmark": np.array(evaluation.benchmarks)[b],
    }
    for name, values in _measures(evaluation, pass_at).items():
        means = [values[:, :, evaluation.benchmark == i].mean(axis=2) for i in range(benchmarks)]
        columns[name] = np.stack(means, axis=2).ravel()
    return pd.DataFrame(columns)
