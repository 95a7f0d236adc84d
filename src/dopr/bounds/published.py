"""Published accuracies by number of training examples, and the published constants of bounds."""

from __future__ import annotations

import numpy as np
import pandas as pd

from dopr.analysis.paper_numbers import published
from dopr.bounds.bound import Constants
from dopr.bounds.change_of_measure import binary_kl

MODELS = ("Qwen2.5-Math-1.5B", "Qwen2.5-Math-7B")
ROLLOUTS_PER_STEP = 1024  # 128 prompts (or copies of one) x 8 rollouts
KL_WEIGHT = 0.001
AVERAGES = {"main": "average", "models": "average", "best_per_benchmark": "best_average"}


def published_points() -> pd.DataFrame:
    """Return one row for each trained model of 1-shot RLVR (arXiv 2504.20571). A starting policy has 0 examples.

    Columns: model, training, examples, share and rollouts. share is the mean accuracy over six benchmarks at the
    checkpoint where it is highest; so the checkpoint is selected on the test questions. rollouts is the number until
    that checkpoint, nan if its step was not published.
    """
    tables = [frame[frame["measure"] == name] for file, name in AVERAGES.items() for frame in [published(file)]]
    points = pd.concat(tables).drop_duplicates(["model", "method", "training"])  # some are in two tables
    points = points[points["method"].isin(["base", "grpo"]) & points["model"].isin(MODELS)]
    points = points.assign(examples=points["examples"].fillna(0).astype(np.int64), share=points["value"] / 100)
    best = published("best_per_benchmark")
    best = best[best["measure"] == "best_average_step"]
    step_of = dict(zip(zip(best["model"], best["training"], strict=True), best["value"], strict=True))
    steps = [step_of.get(key, np.nan) for key in zip(points["model"], points["training"], strict=True)]
    points = points.assign(rollouts=np.array(steps) * ROLLOUTS_PER_STEP)
    columns = ["model", "training", "examples", "share", "rollouts"]
    return points.sort_values(["model", "examples"], kind="stable")[columns].reset_index(drop=True)


def published_constants(points: pd.DataFrame, delta: float) -> Constants:
    """Return the published constants of one model from its rows: the base accuracy and the weight of the KL term.

    The coverage is nan. It needs the pass rate of every question, which was not published.
    """
    base = float(points.loc[points["examples"] == 0, "share"].iloc[0])
    return Constants(
        base=base,
        coverage=float("nan"),
        divergence=float(binary_kl(points["share"].max(), base)),
        inverse_kl=1 / KL_WEIGHT,
        delta=delta,
        prompts=float("nan"),
    )
