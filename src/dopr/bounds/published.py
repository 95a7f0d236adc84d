"""Published accuracy by number of training examples, and the constants of the bounds that were published with it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dopr.bounds.bound import Constants
from dopr.bounds.change_of_measure import binary_kl
from dopr.files import DataError

PUBLISHED = Path(__file__).parents[3] / "resources/published/sample_complexity.csv"
COLUMNS = ("paper", "status", "model", "set", "examples", "step", "accuracy")
ROLLOUTS_PER_STEP = 1024  # 128 prompts (or copies of one) x 8 rollouts
KL_WEIGHT = 0.001


def published_points(path: Path = PUBLISHED) -> pd.DataFrame:
    """One row a trained model (or, with 0 examples, a starting policy), all of 1-shot RLVR (arXiv 2504.20571).

    Columns: those of the file, with share (accuracy / 100, the mean of six benchmarks at the checkpoint where it is
    highest, so chosen on the test questions) and rollouts until that checkpoint, where its step was published.

    Raises:
        DataError: the file is missing or has no such column.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; restore it from version control")
    frame = pd.read_csv(path)
    missing = [column for column in COLUMNS if column not in frame]
    if missing:
        raise DataError(f"{path}: has no column {missing[0]!r}; restore it from version control")
    return frame.assign(share=frame["accuracy"] / 100, rollouts=frame["step"] * ROLLOUTS_PER_STEP)


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
