"""Figure of accuracy against training cost: rollouts, tokens, or measured seconds. One panel per pool."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dopr.analysis.comparison import Comparison, compare_pools
from dopr.analysis.costs import NAMES, Cost, cumulative_cost
from dopr.analysis.results import Results
from dopr.analysis.statistics import FloatArray, interval
from dopr.config.schema import Config
from dopr.figures.style import GREY, MEAN, log_axis, looks, row_of_pools


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers against the cost `part`."""
    axis = cast("Cost", part)
    frame = collect(results, compare_pools(results, config), axis)
    return draw(frame, axis), frame


def collect(results: Results, comparisons: Sequence[Comparison], axis: Cost) -> pd.DataFrame:
    """Return one row per pool, method, seed (or the mean of the seeds) and checkpoint.

    Columns: pool, method, seed (a number or `mean`), step, the axis, accuracy (sampled, the mean over benchmarks),
    and for the mean its 95 % interval, low and high. The mean's cost is the mean of the seeds' costs.
    """
    return pd.concat(
        [
            _rows(comparison, method, cumulative_cost(results, evaluation, axis), axis)
            for comparison in comparisons
            for method, evaluation in comparison.evaluations.items()
        ],
        ignore_index=True,
    )


def _rows(comparison: Comparison, method: str, costs: FloatArray, axis: Cost) -> pd.DataFrame:
    curve, evaluation = comparison.curve(method), comparison.evaluations[method]
    low, high = interval(curve.replicates)
    names = {"pool": comparison.pool, "method": method}
    frames = [
        pd.DataFrame({**names, "seed": run, "step": evaluation.steps, axis: costs[i], "accuracy": curve.by_seed[i]})
        for i, run in enumerate(evaluation.runs)
    ]
    mean = {"seed": MEAN, "step": evaluation.steps, axis: costs.mean(axis=0), "accuracy": curve.mean}
    return pd.concat([pd.DataFrame({**names, **mean, "low": low, "high": high}), *frames], ignore_index=True)


def draw(frame: pd.DataFrame, axis: Cost) -> Figure:
    """Draw means as lines, 95 % intervals as shades, every seed as a thin line, the base policy as a dotted line."""
    pools, methods = list(frame["pool"].unique()), list(frame["method"].unique())
    figure, panels = row_of_pools(pools, methods)
    for panel, pool in zip(panels, pools, strict=True):
        draw_panel(panel, frame[frame["pool"] == pool], axis, methods)
    panels[0].set_ylabel("held-out accuracy (sampled)")
    return figure


def draw_panel(panel: Axes, frame: pd.DataFrame, axis: Cost, methods: Sequence[str]) -> None:
    """Draw the rows of one pool; `methods` are those of the whole figure, so that each keeps its style."""
    styles = looks(methods)
    for method, rows in frame.groupby("method", sort=False):
        style = styles[str(method)]
        trained = rows[rows[axis] > 0]  # a logarithmic axis has no 0; the base policy is the dotted line
        for seed, run in trained.groupby("seed", sort=False):
            if seed == MEAN:
                panel.plot(run[axis], run["accuracy"], zorder=3, **style.line)
                # Few seeds that differ much give intervals from 0 to 1: only the lines set the limits of the axis.
                limits = panel.dataLim.frozen()
                panel.fill_between(run[axis], run["low"], run["high"], color=style.colour, alpha=0.1, linewidth=0)
                panel.dataLim.set(limits)
            else:
                panel.plot(run[axis], run["accuracy"], color=style.colour, alpha=0.35, linewidth=0.5)
    base = frame[(frame["seed"] == MEAN) & (frame["step"] == 0)]["accuracy"].mean()
    panel.axhline(base, color=GREY, linewidth=0.8, linestyle=":")
    panel.annotate(
        "base policy", (1, base), (-2, 2), ("axes fraction", "data"), "offset points", ha="right", fontsize=7
    )
    panel.set_xscale("log")
    log_axis(panel.xaxis)
    panel.set_xlabel(NAMES[axis])
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
