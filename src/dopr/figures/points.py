"""Figure of printed numbers as points beside ours: a panel per measure or model, a row per training set."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from dopr.figures.style import COLUMN, GREY, MARKERS, PAGE, PALETTE, letter, log_axis, new_figure

COLUMNS = 5  # panels in a line at most
ROW, EDGE, FOOT = 0.155, 0.62, 0.4  # heights in inches: a row, the title and axis of a line, legend and note
OURS: dict[str, Any] = {"marker": "D", "markersize": 4.5, "markerfacecolor": "white", "color": PALETTE[2]}
SPREAD = 0.3  # distance of the first series from the last within a row; rows are 1 apart
EMPTY = ("second-hand", "inferred", "computed")  # drawn hollow


def draw(frame: pd.DataFrame) -> Figure:
    """Draw a frame with panel, row, series, value, unit, status and, for our numbers, low and high (95 % interval).

    The base policy, if it is a row, has a dotted line too. Numbers that the paper itself does not print are hollow.
    """
    panels, rows = list(frame["panel"].unique()), list(frame["row"].unique())
    lines = -(-len(panels) // COLUMNS)
    columns = -(-len(panels) // lines)
    figure = new_figure(PAGE if columns > 1 else COLUMN, lines * (EDGE + ROW * len(rows)) + FOOT)
    grid = figure.subplots(lines, columns, sharey=True, squeeze=False).ravel()
    for axes, panel in zip(grid, panels, strict=False):
        _panel(axes, frame[frame["panel"] == panel], rows, list(frame["series"].unique()))
        axes.set_title(panel, loc="left")
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    grid[0].set_yticks(range(len(rows)), rows)
    grid[0].set_ylim(len(rows) - 0.5, -0.5)
    letter(grid[: len(panels)])
    _explain(figure, frame)
    return figure


def _panel(axes: Axes, frame: pd.DataFrame, rows: list[str], series: list[str]) -> None:
    for value, low, high, y, row in _positions(frame, rows, series):
        if row["status"] == "ours":
            axes.plot([low, high], [y, y], color=OURS["color"], linewidth=1)
            axes.plot([value], [y], linestyle="", **OURS, zorder=4)
        else:
            style = _style(series.index(row["series"]), row["status"] in EMPTY)
            axes.plot([value], [y], linestyle="", **style, zorder=3)
    for base in frame.loc[(frame["row"] == "base policy") & (frame["status"] != "ours"), "value"]:
        axes.axvline(base, color=GREY, linewidth=0.8, linestyle=":")
    unit = str(frame["unit"].iloc[0])
    if unit == "times":
        axes.set_xscale("log")
        axes.set_xlim(1, 13)
        log_axis(axes.xaxis, each=(1, 2, 3, 6))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(4))
        axes.margins(x=0.12)
    axes.set_xlabel(unit)


def _positions(
    frame: pd.DataFrame, rows: list[str], series: list[str]
) -> Iterator[tuple[float, float, float, float, dict[Hashable, Any]]]:
    """Yield value, low, high, y and the row of each number; series of a row differ in y, as values may be equal."""
    for row in frame.to_dict("records"):
        offset = SPREAD * (series.index(row["series"]) / max(1, len(series) - 1) - 0.5) * (len(series) > 1)
        yield row["value"], row["low"], row["high"], rows.index(row["row"]) + offset, row


def _style(series_index: int, hollow: bool) -> dict[str, Any]:
    colour = PALETTE[1:][series_index % (len(PALETTE) - 1)]
    face = "white" if hollow else colour
    return {"color": colour, "marker": MARKERS[series_index % len(MARKERS)], "markersize": 4.2, "markerfacecolor": face}


def _explain(figure: Figure, frame: pd.DataFrame) -> None:
    """Add a legend of the series, and the note."""
    names = [name for name in frame["series"].unique() if name]
    handles = [Line2D([], [], linestyle="", label=name, **_style(i, False)) for i, name in enumerate(names)]
    if handles:
        heading: dict[str, Any] = {"title": note(frame), "title_fontsize": 6.5, "alignment": "left"}
        figure.legend(handles=handles, loc="outside lower left", ncols=min(5, len(handles)), **heading)
    else:
        figure.supxlabel(note(frame), x=0.01, ha="left", fontsize=6.5)


def note(frame: pd.DataFrame) -> str:
    """Return the note that says where the numbers come from."""
    hollow = " Hollow: by others, or worked out." if frame["status"].isin(EMPTY).any() else ""
    if (frame["status"] == "ours").any():
        return f"Filled: printed by the paper.{hollow} Hollow diamonds: ours, 95 % interval."
    return f"Printed numbers alone; of ours there are none to compare.{hollow}"
