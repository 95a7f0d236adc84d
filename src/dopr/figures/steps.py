"""Numbers over training steps: a line a training set, printed numbers as markers, what has no step as a dotted line."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dopr.figures.points import OURS, note
from dopr.figures.style import COLUMN, MARKERS, PALETTE, new_figure

STYLES = ("-", "--", "-.", ":")


def draw(frame: pd.DataFrame) -> Figure:
    """Draw rows with series, step (nan: none), value and unit in one panel."""
    figure = new_figure(COLUMN, 2.3 + 0.15 * frame["series"].nunique())
    axes = figure.subplots()
    for place, (name, rows) in enumerate(frame.groupby("series", sort=False)):
        _line(axes, str(name), rows[rows["status"] != "ours"], place)
        ours = rows[rows["status"] == "ours"]
        if len(ours):
            axes.plot(ours["step"], ours["value"], label=f"{name}, ours", **OURS)
            axes.fill_between(ours["step"], ours["low"], ours["high"], color=OURS["color"], alpha=0.12, linewidth=0)
    axes.set_title(str(frame["panel"].iloc[0]), loc="left")
    axes.set_xlabel("training step")
    axes.set_ylabel(str(frame["unit"].iloc[0]))
    axes.margins(y=0.1)
    figure.legend(loc="outside lower left", title=note(frame), title_fontsize=6, alignment="left")
    return figure


def _line(axes: Axes, name: str, rows: pd.DataFrame, place: int) -> None:
    colour = PALETTE[1:][place % (len(PALETTE) - 1)]
    if rows["step"].isna().all():
        axes.axhline(rows["value"].iloc[0], color=colour, linestyle=":", label=f"{name} (no step given)")
    else:
        marker, style = MARKERS[place % len(MARKERS)], STYLES[place % len(STYLES)]
        axes.plot(rows["step"], rows["value"], color=colour, marker=marker, linestyle=style, markersize=4, label=name)
