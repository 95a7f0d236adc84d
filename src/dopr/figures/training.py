"""Figure of training metrics against rollouts: reward, entropy, completion length and gradient norm."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from dopr.analysis.results import Results
from dopr.config.schema import Config
from dopr.figures.measures import binned, collect_measures, draw_measures

MEASURES = {
    "reward": "reward",
    "entropy": "entropy (nats/token)",
    "length": "length (tokens)",
    "grad_norm": "gradient norm",
}


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers."""
    frame = collect(results, config.pools, config.methods, config.seeds)
    return draw(frame), frame


def collect(results: Results, pools: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Return one row per pool, method, seed (or the mean of the seeds) and bin of consecutive steps.

    Columns: pool, method, seed (a number or `mean`), rollouts (at the end of the bin), and the means of MEASURES.
    """

    def of_run(pool: str, method: str, seed: int) -> pd.DataFrame:
        return binned(results.metrics(pool, method, seed), list(MEASURES))

    return collect_measures(of_run, list(MEASURES), pools, methods, seeds)


def draw(frame: pd.DataFrame) -> Figure:
    """Draw the measures as draw_measures does."""
    return draw_measures(frame, MEASURES)
