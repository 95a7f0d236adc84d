"""The training cost of each evaluated checkpoint: rollouts, tokens, updates, or measured seconds."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd

from dopr.analysis.results import Results
from dopr.analysis.scores import Evaluation
from dopr.analysis.statistics import FloatArray
from dopr.files import DataError

Cost = Literal["rollouts", "tokens", "updates", "cpu_seconds", "gpu_seconds", "wall_seconds"]
NAMES = {
    "rollouts": "training rollouts",
    "tokens": "training tokens",
    "updates": "updates of the policy",
    "cpu_seconds": "CPU-seconds of training",
    "gpu_seconds": "GPU-seconds of training",
    "wall_seconds": "seconds of training",
}


def cumulative_cost(results: Results, evaluation: Evaluation, axis: Cost) -> FloatArray:
    """Return the cost of each run up to each checkpoint, `[runs, checkpoints]`.

    Raises:
        DataError: A run's metrics or seconds end before its last checkpoint.
    """
    if axis == "tokens":
        return evaluation.tokens
    if axis == "rollouts":
        return np.tile(evaluation.rollouts, (len(evaluation.seeds), 1))
    runs = zip(evaluation.pools, evaluation.seeds, strict=True)
    return np.stack([_by_step(results, evaluation, pool, seed, axis) for pool, seed in runs])


def _by_step(results: Results, evaluation: Evaluation, pool: str, seed: int, axis: Cost) -> FloatArray:
    """Return a column of a run's metrics or seconds at its checkpoints, `[checkpoints]`."""
    name, read = ("seconds.csv", results.seconds) if axis.endswith("seconds") else ("metrics.csv", results.metrics)
    rows: pd.DataFrame = read(pool, evaluation.method, seed)
    cost_by_step = dict(zip(rows["step"].tolist(), rows[axis].tolist(), strict=True)) | {0: 0.0}
    missing = [step for step in evaluation.steps.tolist() if step not in cost_by_step]
    if missing:
        run = f"train/{pool}/{evaluation.method}/{seed}"
        raise DataError(f"{run}/{name}: has no row for step {missing[0]}, which was evaluated; train it again")
    return np.array([cost_by_step[step] for step in evaluation.steps.tolist()], dtype=np.float64)
