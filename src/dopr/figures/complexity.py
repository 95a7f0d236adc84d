"""Figure of sample complexity: measured accuracy against training prompts and rollouts, and what bounds exclude.

A lower bound on what learning takes excludes a region: fewer prompts or rollouts than the bound, for an accuracy. Only
bounds of the kind "needed to learn" (dopr.bounds.bound) are drawn. The table of bounds has the others.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from dopr.analysis.comparison import Comparison, compare
from dopr.analysis.results import Results
from dopr.analysis.statistics import FloatArray, interval
from dopr.bounds.bound import Bound, find_bound
from dopr.bounds.measured_constants import MeasuredConstants, measure
from dopr.config.schema import Config
from dopr.errors import UserError
from dopr.figures.style import GREY, MARKERS, MEAN, PAGE, PALETTE, letter, log_axis, new_figure

AXES = ("prompts", "rollouts")
# Finer towards 1: a bound on small gaps may begin there.
ACCURACIES = np.concatenate([np.linspace(0.01, 0.99, 197), 1 - np.geomspace(0.0099, 0.0001, 24)])
BOUND_STYLES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
LABELS = {"prompts": "training prompts", "rollouts": "training rollouts"}
TITLES = {"prompts": "at the end of training", "rollouts": "during training"}
BACKGROUND = {"facecolor": "white", "alpha": 0.7, "linewidth": 0, "pad": 0.8}
LINE = 0.062  # height of a line of text, as a share of a panel
ROOM = 0.1  # accuracy above which a line of text fits below it
EXCLUDED, CROSSED = "excluded", "crossed by the runs"


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers.

    Raises:
        UserError: The configuration names no pool to draw.
    """
    chosen, replicates = config.complexity, config.evaluate.bootstrap
    if not chosen.pools:
        raise UserError("complexity.pools: is empty; name a pool")
    ladder = [(None if count == "all" else int(count), method) for count, method in chosen.methods.items()]
    methods = [method for _, method in ladder]
    comparisons = [compare(results, pool, methods, config.seeds, replicates) for pool in chosen.pools]
    bounds = {axis: [find_bound(name) for name in names] for axis, names in chosen.bounds}
    frame = collect(results, comparisons, ladder, bounds, 1 - chosen.confidence)
    return draw(frame), frame


def collect(
    results: Results,
    comparisons: Sequence[Comparison],
    ladder: Sequence[tuple[int | None, str]],
    bounds: Mapping[str, Sequence[Bound]],
    delta: float,
) -> pd.DataFrame:
    """Return rows of three kinds, distinguished by `kind`; `source` is the pool.

    final: accuracy (`share`, with `low` and `high`) after training on `prompts` prompts, of each seed and their mean; 0
        prompts is the base policy.
    curve: the same at every checkpoint, for the panel against rollouts.
    bound: `count`, the value of the bound `series` for an accuracy of `share`, with `low` and `high`; `axis` is its
        unit, prompts or rollouts. `status` is that of status_of. Bounds of another kind than "needed to learn" are
        left out.

    Args:
        ladder: pairs of a number of training prompts (None: all) and the method trained on them.
        bounds: the bounds of each axis of AXES.
        delta: error probability of a test.
    """
    frames = []
    for comparison in comparisons:
        size = len(results.prompts(comparison.pool))
        steps = [(count or size, method) for count, method in ladder]
        final = [_final(comparison, count, method) for count, method in [(0, steps[-1][1]), *steps]]
        curve = [_curve(comparison, count, method) for count, method in steps]
        constants = measure(results, comparison, steps[-1][1], delta)
        measured = dict(zip(AXES, (pd.concat(final), pd.concat(curve)), strict=True))
        learning = [(axis, bound) for axis in AXES for bound in bounds[axis] if bound.kind == "needed to learn"]
        frames += final + curve
        frames += [_bound(comparison.pool, axis, bound, constants, measured[axis]) for axis, bound in learning]
    return pd.concat(frames, ignore_index=True)


def _final(comparison: Comparison, count: int, method: str) -> pd.DataFrame:
    curve = comparison.curve(method)
    checkpoint = -1 if count else 0
    low, high = map(float, interval(curve.replicates[:, checkpoint]))
    names = {"kind": "final", "source": comparison.pool, "series": method if count else "base", "prompts": count}
    names["rollouts"] = curve.rollouts[checkpoint]
    seeds = zip(comparison.evaluations[method].seeds, curve.by_seed[:, checkpoint], strict=True)
    rows: list[dict[str, Any]] = [{**names, "seed": MEAN, "share": curve.mean[checkpoint], "low": low, "high": high}]
    return pd.DataFrame(rows + [{**names, "seed": str(seed), "share": share} for seed, share in seeds])


def _curve(comparison: Comparison, count: int, method: str) -> pd.DataFrame:
    curve = comparison.curve(method)
    low, high = interval(curve.replicates)
    names = {"kind": "curve", "source": comparison.pool, "series": method, "prompts": count}
    mean = {**names, "seed": MEAN, "rollouts": curve.rollouts, "share": curve.mean, "low": low, "high": high}
    seeds = zip(comparison.evaluations[method].seeds, curve.by_seed, strict=True)
    runs = [{**names, "seed": str(seed), "rollouts": curve.rollouts, "share": share} for seed, share in seeds]
    return pd.concat([pd.DataFrame(each) for each in [mean, *runs]])


def _bound(pool: str, axis: str, bound: Bound, constants: MeasuredConstants, measured: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of a bound; `measured` holds the final accuracies or curves that its panel shows."""
    count, low, high = constants.curve(bound, ACCURACIES)
    points = measured[(measured["seed"] == MEAN) & (measured[axis] > 0)].sort_values("share")
    required = bound(constants.point, points["share"].to_numpy(dtype=np.float64))
    status = status_of(count, required, points[axis].to_numpy(dtype=np.float64))
    names = {"kind": "bound", "source": pool, "series": bound.title, "axis": axis, "share": ACCURACIES}
    return pd.DataFrame({**names, "count": count, "low": low, "high": high, "status": status})


def status_of(count: FloatArray, required: FloatArray, spent: FloatArray) -> str:
    """Return what a bound does to the measured points: `excluded` if it excludes a region that has none of them.

    Otherwise it is `constants not known`, `does not apply` or `vacuous` (of the highest accuracy), or CROSSED: runs
    reached an accuracy with less, so this problem is easier than the worst case that the bound is about.

    Args:
        count: The bound at ACCURACIES.
        required: The bound at the measured accuracies, from the lowest to the highest, `[points]`.
        spent: The prompts or rollouts of these points, `[points]`.
    """
    if np.isnan(count).all():
        return "constants not known"
    if np.isnan(required[-1]):
        return "does not apply"
    if not required[-1]:
        return "vacuous"
    return CROSSED if (required > spent).any() else EXCLUDED


def draw(frame: pd.DataFrame) -> Figure:
    """Draw a row per pool and a column per axis."""
    pools = list(frame["source"].unique())
    figure = new_figure(PAGE, 2.4 * len(pools) + 0.5)
    grid = figure.subplots(len(pools), 2, sharey=True, squeeze=False)
    for panels, pool in zip(grid, pools, strict=True):
        rows = frame[frame["source"] == pool]
        _draw_prompts(panels[0], rows[rows["kind"] == "final"])
        _draw_rollouts(panels[1], rows[rows["kind"] == "curve"])
        for panel, axis in zip(panels, AXES, strict=True):
            _draw_base(panel, rows)
            _draw_bounds(panel, rows[(rows["kind"] == "bound") & (rows["axis"] == axis)])
            panel.set_xlabel(LABELS[axis])
            panel.set_title(f"{pool} pool, {TITLES[axis]}", loc="left")
        panels[0].set_ylabel("held-out accuracy (sampled)")
        panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    letter(grid.ravel())
    handles = _handles(frame[frame["source"] == pools[0]])
    figure.legend(handles=handles, loc="outside lower center", ncols=-(-len(handles) // 2))
    return figure


def _draw_prompts(panel: Axes, final: pd.DataFrame) -> None:
    trained = final[final["prompts"] > 0]
    mean, seeds = trained[trained["seed"] == MEAN], trained[trained["seed"] != MEAN]
    panel.plot(mean["prompts"], mean["share"], color=GREY, linewidth=0.8)
    for (_, row), style in zip(mean.iterrows(), _count_styles(len(mean)), strict=True):
        ends = [[row["share"] - row["low"]], [row["high"] - row["share"]]]
        panel.errorbar([row["prompts"]], [row["share"]], ends, capsize=2, zorder=3, **style)
        runs = seeds[seeds["prompts"] == row["prompts"]]
        # Beside the interval, which would hide them.
        panel.plot(runs["prompts"] * 1.2, runs["share"], "o", color=style["color"], markersize=2, alpha=0.6)
    _limit(panel, trained["prompts"], 0.6 * trained["prompts"].min())


def _draw_rollouts(panel: Axes, curve: pd.DataFrame) -> None:
    trained = curve[curve["rollouts"] > 0]  # a logarithmic axis has no 0
    counts = trained["prompts"].unique()
    for count, style in zip(counts, _count_styles(len(counts)), strict=True):
        runs = trained[trained["prompts"] == count]
        mean = runs[runs["seed"] == MEAN]
        panel.plot(mean["rollouts"], mean["share"], zorder=3, **style)
        panel.fill_between(mean["rollouts"], mean["low"], mean["high"], color=style["color"], alpha=0.1, linewidth=0)
        for _, run in runs[runs["seed"] != MEAN].groupby("seed"):
            panel.plot(run["rollouts"], run["share"], color=style["color"], linewidth=0.4, alpha=0.6)
    _limit(panel, trained["rollouts"], 1)


def _draw_base(panel: Axes, rows: pd.DataFrame) -> None:
    base = rows[(rows["kind"] == "final") & (rows["prompts"] == 0) & (rows["seed"] == MEAN)]["share"].iloc[0]
    panel.axhline(base, color=GREY, linewidth=0.8, linestyle=":")
    at, below = ("axes fraction", "data"), base > ROOM  # trained policies are above
    offset, side = ((-2, -2), "top") if below else ((-2, 2), "bottom")
    panel.annotate("base policy", (1, base), offset, at, "offset points", ha="right", va=side, fontsize=7)


def _draw_bounds(panel: Axes, rows: pd.DataFrame) -> None:
    """Shade the regions that bounds exclude. A bound that runs have crossed is a line without a region."""
    left = panel.get_xlim()[0]
    shown = rows[rows["status"].isin([EXCLUDED, CROSSED]) & (rows["count"] > 0)]
    names, top = list(shown["series"].unique()), 0.98
    for series, style in zip(names, BOUND_STYLES * len(names), strict=False):
        line = shown[shown["series"] == series]
        status = str(line["status"].iloc[0])
        if status == EXCLUDED:
            panel.fill_betweenx(line["share"], left, line["count"], color=PALETTE[2], alpha=0.13, linewidth=0)
        bounded = line[(line["low"] > 0) & np.isfinite(line["high"])]  # every replicate gives a number
        panel.fill_betweenx(bounded["share"], bounded["low"], bounded["high"], color=GREY, alpha=0.3, linewidth=0)
        panel.plot(line["count"], line["share"], color="black", linestyle=style, linewidth=1)
        text = _label(status, series)
        # Among several, a line leads from each label to its bound.
        leader = {"arrowstyle": "-", "linewidth": 0.5, "relpos": (1, 0.75)} if len(names) > 1 else None
        tip = float(np.interp(top - LINE / 2, line["share"], line["count"])), top - LINE / 2
        lines = text.count("\n") + 1
        note = panel.annotate(text, tip, (0.02, top), "data", ("axes fraction", "data"), leader, va="top", fontsize=7)
        if leader:
            note.set_bbox(BACKGROUND)
        top -= LINE * (lines + 0.5)


def _label(status: str, series: str) -> str:
    """Return the status and title of a bound, with a line for each option: the region is widest at its top."""
    name, *options = series.split(", ")
    return ",\n".join([f"{status}: {name.removesuffix(' bound')} bound", *options])


def _limit(panel: Axes, counts: pd.Series[float], left: float) -> None:
    """Set a logarithmic axis up to the counts, and one of all accuracies; the lines of bounds may leave them."""
    panel.set_xscale("log")
    log_axis(panel.xaxis, each=(1,))
    panel.set_xlim(left, 1.6 * counts.max())
    panel.set_ylim(0, 1)


def _count_styles(count: int) -> list[dict[str, Any]]:
    """Return a style for each number of prompts: from dark to light, with different markers."""
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, count))
    return [{"color": mpl.colors.to_hex(shade), "marker": MARKERS[i % len(MARKERS)]} for i, shade in enumerate(shades)]


def _handles(rows: pd.DataFrame) -> list[Line2D | Patch]:
    """Return the legend entries; pools may differ in size, and the numbers of prompts are those of the first."""
    counts = rows.loc[rows["kind"] == "curve", "prompts"].unique()
    handles: list[Line2D | Patch] = [
        Line2D([], [], label=f"{count:.0f} prompt{'s' if count > 1 else ''}", **style)
        for count, style in zip(counts, _count_styles(len(counts)), strict=True)
    ]
    seed = Line2D([], [], color=GREY, marker="o", markersize=2, linewidth=0.4, label="one seed")
    return [*handles, seed, Patch(color=GREY, alpha=0.25, linewidth=0, label="95 % interval of the mean")]
