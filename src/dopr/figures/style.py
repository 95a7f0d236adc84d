"""The common style of figures, and writing a figure as PDF, PNG and CSV with the same bytes each time.

Each figure module has `collect`, which makes a frame from result files, and `draw`, which makes the figure from that
frame alone. The CSV holds that frame, so a figure can be drawn again from its CSV.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from string import ascii_lowercase
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backends import backend_agg, backend_pdf  # noqa: F401 - here for forks (dopr.runtime.fork_server)
from matplotlib.figure import Figure, FigureBase
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter, StrMethodFormatter

from dopr.analysis.display_names import counterpart, display_name
from dopr.files import write_atomically, write_text

COLUMN, PAGE = 3.3, 6.8  # widths of one and two columns of a paper, in inches
GREY = "#666666"
MEAN = "mean"  # in the seed column, where a row is the mean over seeds
# The colours of Okabe and Ito, which people with any colour vision can distinguish, without the pale yellow.
PALETTE = ("#000000", "#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00")
MARKERS = "osD^vPX"
# Without dates and versions, so that the bytes are the same each time.
METADATA = {"pdf": {"CreationDate": None, "Creator": None, "Producer": None}, "png": {"Software": None}}
USUAL = {"grpo": 0, "random_one": 1, "dopr": 2, "max_variance_one": 3, "one_shot": 4, "dopr_profile": 5, "dopr_cold": 6}
STYLE: dict[str, Any] = {
    "font.size": 8,
    "font.family": "DejaVu Sans",  # comes with matplotlib, so every machine has it
    "axes.labelsize": 8,
    "axes.titlesize": 8,
    "legend.fontsize": 7,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.linewidth": 0.4,
    "grid.alpha": 0.35,
    "lines.linewidth": 1.3,
    "lines.markersize": 3.2,
    "legend.frameon": False,
    "legend.handlelength": 2.6,
    "pdf.fonttype": 42,  # TrueType: text stays text
    "savefig.dpi": 200,
}


@dataclass(frozen=True)
class Look:
    """The style of a method. Markers and dashes distinguish methods as colours do, for prints in grey."""

    colour: str
    marker: str
    dashed: bool
    name: str

    @property
    def line(self) -> dict[str, Any]:
        """Return keyword arguments for Axes.plot."""
        face = "white" if self.dashed else self.colour
        style = (0, (4, 1.5)) if self.dashed else "-"
        return {"color": self.colour, "marker": self.marker, "markerfacecolor": face, "linestyle": style}


def looks(methods: Sequence[str]) -> dict[str, Look]:
    """Return a style for each method; one with reuse has that of its counterpart, dashed and with hollow markers."""
    bases = list(dict.fromkeys(counterpart(method) for method in methods))
    others = [method for method in bases if method not in USUAL]
    free = [i for i in range(len(PALETTE)) if i not in {USUAL.get(method) for method in bases}] or [len(PALETTE) - 1]
    indices = USUAL | {method: free[i % len(free)] for i, method in enumerate(others)}
    by_method = {method: indices[counterpart(method)] for method in methods}
    return {m: Look(PALETTE[i], MARKERS[i], counterpart(m) != m, display_name(m)) for m, i in by_method.items()}


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure of a size in inches, after setting the common style for all of matplotlib.

    The style is set on matplotlib's own defaults: a matplotlibrc of the user's would change the look and the bytes.
    """
    mpl.rcdefaults()
    mpl.rcParams.update(STYLE)
    return Figure(figsize=(width, height), layout="constrained")


def legend_below(figure: FigureBase, methods: Sequence[str], columns: int = 4) -> None:
    """Add a legend of the methods below the axes."""
    styles = looks(methods)
    handles = [Line2D([], [], label=styles[method].name, **styles[method].line) for method in methods]
    figure.legend(handles=handles, loc="outside lower center", ncols=min(columns, len(methods)))


def row_of_pools(pools: Sequence[str], methods: Sequence[str]) -> tuple[Figure, list[Axes]]:
    """Return a figure with a panel per pool in one row, a shared y-axis, titles and a legend, and its panels."""
    width, columns = (PAGE, 4) if len(pools) > 1 else (COLUMN, 2)
    figure = new_figure(width, 2.5 + 0.17 * -(-len(methods) // columns))
    panels = list(figure.subplots(1, len(pools), sharey=True, squeeze=False)[0])
    for panel, pool in zip(panels, pools, strict=True):
        panel.set_title(f"{pool} pool", loc="left")
    letter(panels)
    legend_below(figure, methods, columns)
    return figure, panels


def log_axis(axis: Axis, each: Sequence[float] = (1, 3)) -> None:
    """Label a logarithmic axis with plain numbers, at 1 and 3 (or `each`) times the powers of ten."""
    axis.set_major_locator(LogLocator(subs=each))
    axis.set_major_formatter(StrMethodFormatter("{x:,g}"))
    axis.set_minor_formatter(NullFormatter())


def letter(axes: Iterable[Axes]) -> None:
    """Put (a), (b), (c) ... before the panels' titles if there is more than one panel."""
    panels = list(axes)
    if len(panels) > 1:
        for axis, name in zip(panels, ascii_lowercase, strict=False):
            axis.set_title(f"({name}) {axis.get_title(loc='left')}", loc="left")


def save(figure: Figure, frame: pd.DataFrame, path: Path) -> None:
    """Write path.pdf, path.png and the frame as path.csv; `path` has no suffix."""
    text = frame.to_csv(index=False, float_format="%.6f", lineterminator="\n")
    write_text(path.with_name(f"{path.name}.csv"), text)
    for text_object in figure.findobj(Text):
        text_object.set_fontfeatures(("-liga",))  # "fi" as one glyph adds a font to the PDF, and no search finds it
    if engine := figure.get_layout_engine():
        engine.execute(figure)  # once, as savefig would draw all again to lay out each format
        figure.set_layout_engine(None)
    for kind, metadata in METADATA.items():
        draw = partial(figure.savefig, format=kind, metadata=metadata)
        write_atomically(path.with_name(f"{path.name}.{kind}"), draw)
