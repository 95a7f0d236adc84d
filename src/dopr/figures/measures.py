"""Measures of runs against training rollouts: every seed and their mean, a row of panels a pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dopr.figures.style import MEAN, PAGE, legend_below, letter, log_axis, looks, new_figure

BINS = 16  # points a curve, and the fewest rollouts behind one: a step of one prompt is too noisy to see
SMALLEST = 64


def collect_measures(
    of_run: Callable[[str, str, int], pd.DataFrame],
    measures: Sequence[str],
    pools: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """One row a pool, method, seed (or the mean of the seeds) and point of a curve.

    Columns: pool, method, seed (a number or `mean`), rollouts, and the measures.

    Args:
        of_run: pool, method, seed -> a row a point, with rollouts and the measures; equal rows of seeds are averaged.
    """
    frames = []
    for pool in pools:
        for method in methods:
            runs = {str(seed): of_run(pool, method, seed) for seed in seeds}
            mean = pd.concat(runs.values()).groupby(level=0).mean()
            frames += [run.assign(pool=pool, method=method, seed=seed) for seed, run in ({MEAN: mean} | runs).items()]
    return pd.concat(frames, ignore_index=True)[["pool", "method", "seed", "rollouts", *measures]]


def binned(metrics: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Means over bins of steps, wider later on, as the axis of rollouts is logarithmic."""
    rollouts = metrics["rollouts"].to_numpy(dtype=np.float64)
    edges = np.geomspace(min(SMALLEST, rollouts[-1]), rollouts[-1], BINS)
    groups = metrics.groupby(np.searchsorted(edges, rollouts - 1e-6 * rollouts[-1]))
    return groups[list(measures)].mean().assign(rollouts=groups["rollouts"].last())


def draw_measures(frame: pd.DataFrame, measures: Mapping[str, str]) -> Figure:
    """Means of the seeds as lines, every seed as a thin line; a row of panels a pool, a panel a measure.

    frame: of collect_measures. measures: column -> name.
    """
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
