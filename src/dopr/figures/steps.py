"""Figure of printed numbers over training steps: a line per training set; a number without a step is dotted."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dopr.figures.points import OURS, note
from dopr.figures.style import COLUMN, MARKERS, PALETTE, new_figure

STYLES = ("-", "--", "-.", ":")


def draw(frame: pd.DataFrame) -> Figure:
    """Draw a frame with series, step (nan: none), value, unit, status, low and high in one panel."""
    figure = new_figure(COLUMN, 2.3 + 0.15 * frame["series"].nunique())
    axes = figure.subplots()
    for i, (name, rows) in enumerate(frame.groupby("series", sort=False)):
        _line(axes, str(name), rows[rows["status"] != "ours"], i)
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


def _line(axes: Axes, name: str, rows: pd.DataFrame, i: int) -> None:
    colour = PALETTE[1:][i % (len(PALETTE) - 1)]
    if rows["step"].isna().all():
        axes.axhline(rows["value"].iloc[0], color=colour, linestyle=":", label=f"{name} (no step given)")
    else:
        marker, style = MARKERS[i % len(MARKERS)], STYLES[i % len(STYLES)]
        axes.plot(rows["step"], rows["value"], color=colour, marker=marker, linestyle=style, markersize=4, label=name)
