"""Figure of a control or an ablation: the final accuracy of each method above, its curves below.

It is drawn from the frame of dopr.figures.curves.collect. Each method has a row above and a panel below, so any number
of methods fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dopr.analysis.comparison import compare_pools
from dopr.analysis.display_names import display_name
from dopr.analysis.results import Results
from dopr.config.schema import Config
from dopr.figures.curves import collect
from dopr.figures.style import GREY, MARKERS, MEAN, PAGE, PALETTE, log_axis, new_figure

COLUMNS = 4  # panels in a row of curves
ROW, PANEL, EDGE = 0.17, 1.15, 0.85  # heights in inches: a method's row, a row of panels, axes and legend
BASE: dict[str, Any] = {"color": GREY, "linewidth": 0.8, "linestyle": ":"}


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers."""
    frame = collect(results, compare_pools(results, config), "rollouts")
    return draw(frame), frame


def draw(frame: pd.DataFrame) -> Figure:
    """Draw final accuracies above and curves below.

    Above, a panel per pool and a row per method: final accuracy with its 95 % interval, every seed, and the highest
    mean of any checkpoint. Below, a panel per method: its curves in colour, the means of the other methods in grey.
    """
    pools, methods = list(frame["pool"].unique()), list(frame["method"].unique())
    above, below = EDGE + ROW * len(methods), 0.45 + PANEL * -(-len(methods) // COLUMNS)
    figure = new_figure(PAGE, above + below)
    (top,), (bottom,) = figure.subfigures(2, 1, squeeze=False, height_ratios=[above, below])
    _draw_finals(top, frame, pools, methods)
    _draw_curves(bottom, frame, pools, methods)
    return figure


def _draw_finals(figure: FigureBase, frame: pd.DataFrame, pools: Sequence[str], methods: Sequence[str]) -> None:
    panels = figure.subplots(1, len(pools), sharex=True, sharey=True, squeeze=False)[0]
    for i, (panel, pool) in enumerate(zip(panels, pools, strict=True)):
        rows = frame[frame["pool"] == pool]
        for row, method in enumerate(methods):
            _draw_final_row(panel, row, rows[rows["method"] == method], PALETTE[1 + i])
        panel.axvline(_base_accuracy(rows), **BASE)
        panel.set_title(f"{pool} pool", loc="left")
        panel.set_xlabel("held-out accuracy (sampled)")
        panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        panel.grid(visible=False, axis="y")
    panels[0].set_yticks(range(len(methods)), [display_name(method) for method in methods])
    panels[0].set_ylim(len(methods) - 0.5, -0.5)
    figure.legend(handles=_handles(), loc="outside lower center", ncols=5)


def _draw_final_row(panel: Axes, y: int, rows: pd.DataFrame, colour: str) -> None:
    """Draw one method: the interval as a line, its mean as a dot, seeds as ticks, the highest mean as a diamond."""
    mean = rows[rows["seed"] == MEAN]
    seeds = rows[(rows["seed"] != MEAN) & (rows["step"] == rows["step"].max())]["accuracy"]
    last = mean.iloc[-1]
    panel.plot([last["low"], last["high"]], [y, y], color=colour, linewidth=1, alpha=0.6)
    panel.plot([mean["accuracy"].max()], [y], "D", color=colour, markerfacecolor="white", markersize=4.5)
    panel.plot(seeds, [y] * len(seeds), "|", color=colour, markersize=7, markeredgewidth=0.8)
    panel.plot([last["accuracy"]], [y], "o", color=colour)


def _draw_curves(figure: FigureBase, frame: pd.DataFrame, pools: Sequence[str], methods: Sequence[str]) -> None:
    panels = figure.subplots(-(-len(methods) // COLUMNS), COLUMNS, sharex=True, sharey=True, squeeze=False)
    trained = frame[frame["rollouts"] > 0]  # a logarithmic axis has no 0; the base policy is the dotted line
    for panel, method in zip(panels.flat, methods, strict=False):
        others = trained[(trained["method"] != method) & (trained["seed"] == MEAN)]
        for _, curve in others.groupby(["pool", "method"], sort=False):
            panel.plot(curve["rollouts"], curve["accuracy"], color=GREY, linewidth=0.5, alpha=0.35)
        _draw_method_curves(panel, trained[trained["method"] == method], pools)
        for pool in pools:
            panel.axhline(_base_accuracy(frame[frame["pool"] == pool]), **BASE)
        panel.set_title(display_name(method), loc="left")
    for panel in panels.flat[len(methods) :]:
        panel.set_axis_off()
    panels[0, 0].set_xscale("log")
    for column in range(min(COLUMNS, len(methods))):  # only the lowest panel of a column has tick labels
        lowest = panels[(len(methods) - 1 - column) // COLUMNS, column]
        # A range within one decade may hold no power of ten, and the axis then no label.
        log_axis(
            lowest.xaxis, each=(1,) if trained["rollouts"].max() > 10 * trained["rollouts"].min() else (1, 2, 3, 5)
        )
        lowest.xaxis.set_tick_params(labelbottom=True)
    panels[0, 0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0, 0].yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    figure.supxlabel("training rollouts", fontsize=8)
    figure.supylabel("held-out accuracy", fontsize=8)


def _draw_method_curves(panel: Axes, rows: pd.DataFrame, pools: Sequence[str]) -> None:
    """Draw the mean and the seeds of a method in each pool."""
    for i, pool in enumerate(pools):
        for seed, run in rows[rows["pool"] == pool].groupby("seed", sort=False):
            is_mean = seed == MEAN
            style: dict[str, Any] = (
                {"linewidth": 1.2, "marker": MARKERS[i]} if is_mean else {"linewidth": 0.5, "alpha": 0.45}
            )
            panel.plot(run["rollouts"], run["accuracy"], color=PALETTE[1 + i], markersize=2, **style)


def _base_accuracy(frame: pd.DataFrame) -> float:
    """Return the accuracy of the base policy from one pool's rows."""
    return float(frame[(frame["seed"] == MEAN) & (frame["step"] == 0)]["accuracy"].iloc[0])


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], color="black", marker="o", linewidth=1, label="final mean, 95 % interval"),
        Line2D([], [], color="black", marker="|", linestyle="", markersize=7, label="final, each seed"),
        Line2D([], [], color="black", marker="D", markerfacecolor="white", linestyle="", label="highest mean"),
        Line2D([], [], label="base policy", **BASE),
    ]
