"""Published accuracy by number of training examples, and the constants of the bounds that were published with it."""

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
    """One row a trained model (or, with 0 examples, a starting policy), all of 1-shot RLVR (arXiv 2504.20571).

    Columns: model, training, examples, share (the mean accuracy of six benchmarks at the checkpoint where it is
    highest, so chosen on the test questions), and rollouts until that checkpoint, nan where its step was not published.
    """
    rows = [frame[frame["measure"] == name] for file, name in AVERAGES.items() for frame in [published(file)]]
    found = pd.concat(rows).drop_duplicates(["model", "method", "training"])  # some stand in two tables
    found = found[found["method"].isin(["base", "grpo"]) & found["model"].isin(MODELS)]
    found = found.assign(examples=found["examples"].fillna(0).astype(np.int64), share=found["value"] / 100)
    best = published("best_per_benchmark")
    best = best[best["measure"] == "best_average_step"]
    steps = dict(zip(zip(best["model"], best["training"], strict=True), best["value"], strict=True))
    known = [steps.get(key, np.nan) for key in zip(found["model"], found["training"], strict=True)]
    found = found.assign(rollouts=np.array(known) * ROLLOUTS_PER_STEP)
    columns = ["model", "training", "examples", "share", "rollouts"]
    return found.sort_values(["model", "examples"], kind="stable")[columns].reset_index(drop=True)


def published_constants(points: pd.DataFrame, delta: float) -> Constants:
    """What is known of one model's starting policy from its rows: its accuracy, and the weight of the KL term.

    The coverage takes the pass rate of every question, which was not published.
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
