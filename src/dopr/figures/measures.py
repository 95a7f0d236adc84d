"""Figures of measures of runs against training rollouts: every seed and their mean, a row of panels per pool."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dopr.figures.style import MEAN, PAGE, legend_below, letter, log_axis, looks, new_figure

BINS = 16  # points of a curve
SMALLEST = 64  # rollouts in the first bin, as a step of one prompt is too noisy to plot


def collect_measures(
    of_run: Callable[[str, str, int], pd.DataFrame],
    measures: Sequence[str],
    pools: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
) -> pd.DataFrame:
    """Return one row per pool, method, seed (or the mean of the seeds) and point of a curve.

    Columns: pool, method, seed (a number or `mean`), rollouts, and the measures.

    Args:
        of_run: maps pool, method and seed to a frame with one row per point, with rollouts and the measures; rows
            with the same index are averaged over seeds.
    """
    frames = []
    for pool in pools:
        for method in methods:
            runs = {str(seed): of_run(pool, method, seed) for seed in seeds}
            mean = pd.concat(runs.values()).groupby(level=0).mean()
            frames += [run.assign(pool=pool, method=method, seed=seed) for seed, run in ({MEAN: mean} | runs).items()]
    return pd.concat(frames, ignore_index=True)[["pool", "method", "seed", "rollouts", *measures]]


def binned(metrics: pd.DataFrame, measures: Sequence[str]) -> pd.DataFrame:
    """Return means over bins of steps; later bins are wider, as the axis of rollouts is logarithmic."""
    rollouts = metrics["rollouts"].to_numpy(dtype=np.float64)
    edges = np.geomspace(min(SMALLEST, rollouts[-1]), rollouts[-1], BINS)
    groups = metrics.groupby(np.searchsorted(edges, rollouts - 1e-6 * rollouts[-1]))
    return groups[list(measures)].mean().assign(rollouts=groups["rollouts"].last())


def draw_measures(frame: pd.DataFrame, measures: Mapping[str, str]) -> Figure:
    """Draw means of the seeds as lines and every seed as a thin line; a row of panels per pool, a panel per measure.

    Args:
        frame: as collect_measures returns it.
        measures: maps the column of each measure to its name on the axis.
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
    styles = looks(list(frame["method"].unique()))
    for method, rows in frame.groupby("method", sort=False):
        style = styles[str(method)]
        for seed, run in rows.groupby("seed", sort=False):
            if seed == MEAN:
                panel.plot(run["rollouts"], run[measure], zorder=3, markevery=3, **style.line)
            else:
                panel.plot(run["rollouts"], run[measure], color=style.colour, alpha=0.3, linewidth=0.5)
    panel.set_xscale("log")
    log_axis(panel.xaxis, each=(1,))
