"""Figure of DoPR's acquisition score: volatility and exploration of the chosen prompts, and their sum."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from dopr.analysis.results import Results
from dopr.config.schema import Config
from dopr.figures.measures import binned, collect_measures, draw_measures
from dopr.files import DataError

MEASURES = {"volatility": "volatility", "exploration": "exploration", "score": "sum"}


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers."""
    methods = [method for method in config.methods if config.recipes[method].selector == "dopr"]
    frame = collect(results, config.pools, methods, config.seeds)
    return draw(frame), frame


def collect(results: Results, pools: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Return one row per pool, method, seed (or the mean of the seeds) and bin of consecutive steps.

    Columns: pool, method, seed (a number or `mean`), rollouts (at the end of the bin), and the means of MEASURES over
    the bin's choices, as the selector saw them when it chose.

    Raises:
        DataError: a method's selector logs no volatility.
    """

    def of_run(pool: str, method: str, seed: int) -> pd.DataFrame:
        metrics = results.metrics(pool, method, seed)
        if "volatility" not in metrics or "exploration" not in metrics:
            raise DataError(
                f"train/{pool}/{method}/{seed}/metrics.csv: has no volatility; leave {method} out of `methods`"
            )
        return binned(metrics.assign(score=metrics["volatility"] + metrics["exploration"]), list(MEASURES))

    return collect_measures(of_run, list(MEASURES), pools, methods, seeds)


def draw(frame: pd.DataFrame) -> Figure:
    """Draw the measures as draw_measures does."""
    return draw_measures(frame, MEASURES)
