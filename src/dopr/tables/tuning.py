"""The learning-rate search: rollouts to each target on the validation questions, and the rate that needs fewest."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from dopr.analysis.results import Results
from dopr.analysis.rollouts_to_target import first_crossing
from dopr.analysis.scores import load_evaluation
from dopr.analysis.statistics import even_weights


def tuning_table(completions: Sequence[Path], targets: Sequence[float]) -> pd.DataFrame:
    """Return one row per method and learning rate: geometric means over pools and seeds of the rollouts to each target.

    `completions` are files at .../validate/POOL/METHOD@RATE/SEED/. Accuracies are averaged over the questions of each
    benchmark, then over benchmarks. A run that misses a target counts with its whole budget, and
    is counted in `missed`. `best` marks, for each method, the rate that misses the fewest targets, and of these the one
    with the fewest rollouts over all targets together: a faster rate that loses runs for good is not taken.
    """
    rows = []
    for path in completions:
        folder, evaluations, pool, run, seed = path.parents[4], *path.parts[-5:-1]
        method, _, rate = run.partition("@")
        evaluation = load_evaluation(Results(folder, evaluations), pool, run, [int(seed)])
        rollouts, curve = evaluation.rollouts, evaluation.sampled[0] @ even_weights(evaluation.benchmark)
        reached = {f"to {target:.2f}": float(first_crossing(rollouts, curve, target)) for target in targets}
        missed = sum(np.isnan(value) for value in reached.values())
        spent = {name: rollouts[-1] if np.isnan(value) else value for name, value in reached.items()}
        rows.append({"method": method, "rate": float(rate), **spent, "final": curve[-1], "missed": missed})
    names = [f"to {target:.2f}" for target in targets]
    frame = pd.DataFrame(rows)
    frame[names] = np.log(frame[names].clip(lower=1.0))
    table = frame.groupby(["method", "rate"], sort=False).mean()
    table["missed"] = frame.groupby(["method", "rate"], sort=False)["missed"].sum()
    ranks = pd.DataFrame({"missed": table["missed"], "rollouts": table[names].mean(axis=1)})
    table[names] = np.exp(table[names])
    best = {rows.sort_values(["missed", "rollouts"]).index[0] for _, rows in ranks.groupby("method")}
    table["best"] = [row in best for row in table.index]
    return table.reset_index()
