"""What training looked like from inside: reward, entropy, completion length and gradient against rollouts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dopr.figures.style import MEAN, PAGE, legend_below, letter, log_axis, looks, new_figure
from dopr.results import Results

BINS = 16  # points a curve, and the fewest rollouts behind one: a step of one prompt is too noisy to see
SMALLEST = 64
MEASURES = {
    "reward": "reward",
    "entropy": "entropy (nats/token)",
    "length": "length (tokens)",
    "grad_norm": "gradient norm",
}


def collect(results: Results, pools: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """One row a pool, method, seed (or the mean of the seeds) and bin of consecutive steps.

    Columns: pool, method, seed (a number or `mean`), rollouts (at the end of the bin), and the means of MEASURES.
    """
    frames = []
    for pool in pools:
        for method in methods:
            runs = {str(seed): binned(results.metrics(pool, method, seed), list(MEASURES)) for seed in seeds}
            mean = pd.concat(runs.values()).groupby(level=0).mean()
            frames += [run.assign(pool=pool, method=method, seed=seed) for seed, run in ({MEAN: mean} | runs).items()]
    return pd.concat(frames, ignore_index=True)[["pool", "method", "seed", "rollouts", *MEASURES]]


def binned(metrics: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Means over bins of steps, wider later on, as the axis of rollouts is logarithmic."""
    rollouts = metrics["rollouts"].to_numpy(dtype=np.float64)
    edges = np.geomspace(min(SMALLEST, rollouts[-1]), rollouts[-1], BINS)
    groups = metrics.groupby(np.searchsorted(edges, rollouts - 1e-6 * rollouts[-1]))
    return groups[list(measures)].mean().assign(rollouts=groups["rollouts"].last())


def draw(frame: pd.DataFrame) -> Figure:
    """Means of the seeds as lines, every seed as a thin line. One row a pool."""
    return draw_measures(frame, MEASURES)


def draw_measures(frame: pd.DataFrame, measures: Mapping[str, str]) -> Figure:
    """The same of other columns: measures are column -> name."""
    pools, methods = list(frame["pool"].unique()), list(frame["method"].unique())
    figure = new_figure(PAGE, 1.7 * len(pools) + 0.2 + 0.17 * -(-len(methods) // 4))
    grid = figure.subplots(len(pools), len(measures), sharex=True, squeeze=False)
    for row, pool in zip(grid, pools, strict=True):
        for panel, (measure, name) in zip(row, measures.items(), strict=True):
            _panel(panel, frame[frame["pool"] == pool], measure)
            panel.set_title(f"{pool} pool", loc="left")
            panel.set_ylabel(name)
    for panel in grid[-1]:
        panel.set_xlabel("training rollouts")
    letter(grid.ravel())
    legend_below(figure, methods)
    return figure


def _panel(panel: Axes, frame: pd.DataFrame, measure: str) -> None:
    shown = looks(list(frame["method"].unique()))
    for method, rows in frame.groupby("method", sort=False):
        look = shown[str(method)]
        for seed, run in rows.groupby("seed", sort=False):
            if seed == MEAN:
                panel.plot(run["rollouts"], run[measure], zorder=3, markevery=3, **look.line)
            else:
                panel.plot(run["rollouts"], run[measure], color=look.colour, alpha=0.3, linewidth=0.5)
    panel.set_xscale("log")
    log_axis(panel.xaxis, each=(1,))
