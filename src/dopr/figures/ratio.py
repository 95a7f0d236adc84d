"""Figure of accuracy against training rollouts without and with reuse: a row for each, a column per pool."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure

from dopr.analysis.comparison import Comparison, compare_panels
from dopr.analysis.display_names import counterpart
from dopr.analysis.results import Results
from dopr.config.schema import Config
from dopr.figures.curves import collect as collect_curves
from dopr.figures.curves import draw_panel
from dopr.figures.style import PAGE, legend_below, letter, new_figure

ROWS = ("without reuse", "with reuse")


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers."""
    comparisons = [
        comparison.only(config.ratio.drawn or config.methods) for comparison in compare_panels(results, config)
    ]
    frame = collect(results, comparisons, config.reference)
    return draw(frame), frame


def collect(results: Results, comparisons: Sequence[Comparison], reference: str) -> pd.DataFrame:
    """Return the frame of dopr.figures.curves with `row`, the row of panels; the reference method is in both rows."""
    frame = collect_curves(results, comparisons, "rollouts")
    reuse = frame["method"].map(lambda method: counterpart(method) != method)
    with_row = frame.assign(row=reuse.map({False: ROWS[0], True: ROWS[1]}))
    repeated = with_row[with_row["method"] == reference].assign(row=ROWS[1])
    return pd.concat([with_row, repeated], ignore_index=True)


def draw(frame: pd.DataFrame) -> Figure:
    """Draw means with their 95 % interval and every run as a thin line; colours and markers show the selector."""
    pools, methods = list(frame["pool"].unique()), list(frame["method"].unique())
    legend_methods = list({counterpart(method): method for method in reversed(methods)}.values())[::-1]
    figure = new_figure(PAGE, 4.6 + 0.17 * -(-len(legend_methods) // 4))
    grid = figure.subplots(2, len(pools), sharey=True, sharex=True, squeeze=False)
    for panels, row in zip(grid, ROWS, strict=True):
        for panel, pool in zip(panels, pools, strict=True):
            draw_panel(panel, frame[(frame["pool"] == pool) & (frame["row"] == row)], "rollouts", methods)
            panel.set_title(f"{pool}, {row}", loc="left")
            panel.label_outer()
        panels[0].set_ylabel("held-out accuracy (sampled)")
    letter(grid.ravel())
    legend_below(figure, legend_methods, 4)
    return figure
