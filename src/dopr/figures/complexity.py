"""Figure of sample complexity: accuracy against training prompts and rollouts, measured and published, with bounds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, PercentFormatter

from dopr.analysis.comparison import Comparison, compare
from dopr.analysis.results import Results
from dopr.analysis.statistics import FloatArray, interval
from dopr.bounds.bound import Bound, find_bound
from dopr.bounds.measured_constants import measure
from dopr.bounds.published import published_constants, published_points
from dopr.config.schema import Config
from dopr.figures.style import GREY, MARKERS, MEAN, PAGE, PALETTE, letter, log_axis, new_figure

AXES = ("prompts", "rollouts")
PUBLISHED = "published"
# Finer towards 1: a bound on small gaps may begin there.
ACCURACIES = np.concatenate([np.linspace(0.01, 0.99, 197), 1 - np.geomspace(0.0099, 0.0001, 24)])
BOUND_STYLES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)), (0, (8, 2)), (0, (3, 1, 1, 1, 1, 1)))
LABELS = {"prompts": "training prompts", "rollouts": "training rollouts"}


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers."""
    chosen, replicates = config.complexity, config.evaluate.bootstrap
    ladder = [(None if count == "all" else int(count), method) for count, method in chosen.methods.items()]
    methods = [method for _, method in ladder]
    comparisons = [compare(results, pool, methods, config.seeds, replicates) for pool in chosen.pools]
    bounds = {
        "prompts": [find_bound(name) for name in chosen.bounds.prompts],
        "rollouts": [find_bound(name) for name in chosen.bounds.rollouts],
    }
    frame = collect(results, comparisons, ladder, bounds, 1 - chosen.confidence, published_points())
    return draw(frame), frame


def collect(
    results: Results,
    comparisons: Sequence[Comparison],
    ladder: Sequence[tuple[int | None, str]],
    bounds: Mapping[str, Sequence[Bound]],
    delta: float,
    published: pd.DataFrame,
) -> pd.DataFrame:
    """Return rows of three kinds, distinguished by `kind`; `source` is the pool, or "published".

    final: accuracy (`share`, with `low` and `high`) after training on `prompts` prompts, of each seed and their mean; 0
        prompts is the base policy. For published models, `series` is the model, and there are no seeds.
    curve: the same at every checkpoint, for the panel against rollouts.
    bound: `count`, the value of the bound `series` for an accuracy of `share`, with `low` and `high`; `axis` is its
        unit, prompts or rollouts. `status` is that of status_of.

    Args:
        ladder: pairs of a number of training prompts (None: all) and the method trained on them.
        bounds: the bounds of each axis of AXES.
        delta: error probability of a test.
        published: the points of dopr.bounds.published.
    """
    frames = []
    for comparison in comparisons:
        size = len(results.prompts(comparison.pool))
        steps = [(count or size, method) for count, method in ladder]
        frames += [_final(comparison, count, method) for count, method in [(0, steps[-1][1]), *steps]]
        frames += [_curve(comparison, count, method) for count, method in steps]
        constants = measure(results, comparison, steps[-1][1], delta)
        best = np.array([max(comparison.curve(method).mean[-1] for _, method in steps)])
        frames += [
            _bound(comparison.pool, axis, each, constants.curve(each, ACCURACIES), each(constants.point, best))
            for axis in AXES
            for each in bounds[axis]
        ]
    return pd.concat([*frames, *_published(published, bounds, delta)], ignore_index=True)


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


def _bound(
    source: str, axis: str, bound: Bound, curve: tuple[FloatArray, FloatArray, FloatArray], at_best: FloatArray
) -> pd.DataFrame:
    """Return the rows of a bound: `curve` holds values, lows and highs at ACCURACIES."""
    count, low, high = curve
    names = {"kind": "bound", "source": source, "series": bound.title, "axis": axis, "share": ACCURACIES}
    return pd.DataFrame({**names, "count": count, "low": low, "high": high, "status": status_of(count, at_best.item())})


def _published(points: pd.DataFrame, bounds: Mapping[str, Sequence[Bound]], delta: float) -> list[pd.DataFrame]:
    """Return published points, and bounds at the constants of the first model, whose rollout counts are published."""
    names = {
        "kind": "final",
        "source": PUBLISHED,
        "seed": MEAN,
        "series": points["model"],
        "prompts": points["examples"],
    }
    frames = [pd.DataFrame({**names, "rollouts": points["rollouts"], "share": points["share"]})]
    first = points[points["model"] == points["model"].iloc[0]]
    constants, best = published_constants(first, delta), np.array([first["share"].max()])
    unknown = np.full_like(ACCURACIES, np.nan)  # the constants were published without an interval
    return frames + [
        _bound(PUBLISHED, axis, bound, (bound(constants, ACCURACIES), unknown, unknown), bound(constants, best))
        for axis in AXES
        for bound in bounds[axis]
    ]


def status_of(count: FloatArray, best: float) -> str:
    """Return why a bound says nothing at the highest measured accuracy; empty if it gives a number there.

    count: the bound at ACCURACIES. best: the bound at the highest measured accuracy.
    """
    if np.isnan(count).all():
        return "constants not known"
    return "does not apply" if np.isnan(best) else "" if best else "vacuous"


def draw(frame: pd.DataFrame) -> Figure:
    """Draw a row per pool and one for published results, and a column per axis."""
    sources = list(frame["source"].unique())
    figure = new_figure(PAGE, 2.2 * len(sources) + 0.9)
    grid = figure.subplots(len(sources), 2, squeeze=False)
    styles = dict(zip(_names(frame[frame["kind"] == "bound"]), BOUND_STYLES, strict=False))
    for panels, source in zip(grid, sources, strict=True):
        rows = frame[frame["source"] == source]
        for panel, axis in zip(panels, AXES, strict=True):
            _draw_points(panel, rows[rows["kind"] != "bound"], source, axis)
            _draw_bounds(panel, rows[(rows["kind"] == "bound") & (rows["axis"] == axis)], styles)
            panel.set_xlabel(LABELS[axis])
            panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
        panels[0].set_ylabel("accuracy")
        title = "published, Qwen2.5-Math" if source == PUBLISHED else f"{source} pool"
        for panel, axis in zip(panels, AXES, strict=True):
            panel.set_title(f"{title}, by {axis}", loc="left")
    letter(grid.ravel())
    figure.legend(handles=_handles(frame, styles), loc="outside lower center", ncols=3)
    return figure


def _draw_points(panel: Axes, rows: pd.DataFrame, source: str, axis: str) -> None:
    if source == PUBLISHED:
        _draw_published(panel, rows, axis)
    elif axis == "prompts":
        _draw_prompts(panel, rows)
    else:
        _draw_rollouts(panel, rows)


def _draw_prompts(panel: Axes, rows: pd.DataFrame) -> None:
    final = rows[rows["kind"] == "final"]
    mean, seeds = final[final["seed"] == MEAN], final[final["seed"] != MEAN]
    trained = mean[mean["prompts"] > 0]
    panel.plot(trained["prompts"], trained["share"], color=GREY, linewidth=0.8)
    for (_, row), style in zip(trained.iterrows(), _count_styles(len(trained)), strict=True):
        ends = [[row["share"] - row["low"]], [row["high"] - row["share"]]]
        panel.errorbar([row["prompts"]], [row["share"]], ends, capsize=2, zorder=3, **style)
        runs = seeds[seeds["prompts"] == row["prompts"]]
        panel.plot(runs["prompts"] * 1.12, runs["share"], "_", color=style["color"], markersize=5)
    _base(panel, float(mean.loc[mean["prompts"] == 0, "share"].iloc[0]))
    _frame(panel, trained["prompts"], 1.0)


def _draw_rollouts(panel: Axes, rows: pd.DataFrame) -> None:
    curve = rows[(rows["kind"] == "curve") & (rows["rollouts"] > 0)]
    counts = curve["prompts"].unique()
    for count, style in zip(counts, _count_styles(len(counts)), strict=True):
        runs = curve[curve["prompts"] == count]
        mean = runs[runs["seed"] == MEAN]
        panel.plot(mean["rollouts"], mean["share"], **style)
        for _, run in runs[runs["seed"] != MEAN].groupby("seed"):
            panel.plot(run["rollouts"], run["share"], color=style["color"], linewidth=0.4, alpha=0.6)
    final = rows[(rows["kind"] == "final") & (rows["prompts"] == 0) & (rows["seed"] == MEAN)]
    _base(panel, float(final["share"].iloc[0]))
    _frame(panel, curve["rollouts"], 1.0)
    panel.set_xlim(left=1)


def _draw_published(panel: Axes, rows: pd.DataFrame, axis: str) -> None:
    for model, style in zip(_names(rows), _model_styles(rows), strict=True):
        points = rows[rows["series"] == model]
        trained = points[(points["prompts"] > 0) & points[axis].notna()]
        panel.plot(trained[axis], trained["share"], linestyle="", **style)
        if len(trained):
            base = float(points.loc[points["prompts"] == 0, "share"].iloc[0])
            _base(panel, base, f"{model.removeprefix('Qwen2.5-Math-')} base")
    _frame(panel, rows[axis], 1.35 * rows["share"].max())
    panel.set_xlim(left=0.8)
    panel.xaxis.set_major_formatter(EngFormatter(sep=""))


def _draw_bounds(panel: Axes, rows: pd.DataFrame, styles: dict[str, Any]) -> None:
    """Draw bounds as lines, and list below the panel those that say nothing at the accuracies reached."""
    for series in _names(rows):
        line = rows[(rows["series"] == series) & (rows["count"] > 0)]
        panel.plot(line["count"], line["share"], color="black", linestyle=styles[series], linewidth=1)
        bounded = line[(line["low"] > 0) & np.isfinite(line["high"])]  # every replicate gives a number
        panel.fill_betweenx(bounded["share"], bounded["low"], bounded["high"], color=GREY, alpha=0.25, linewidth=0)
    without_count = rows[rows["status"].fillna("") != ""].drop_duplicates("series")
    text = "\n".join(f"{row['series']}: {row['status']}" for _, row in without_count.iterrows())
    panel.annotate(text, (0, 0), (0, -30), "axes fraction", "offset points", va="top", fontsize=6, color=GREY)


def _base(panel: Axes, share: float, name: str = "base") -> None:
    panel.axhline(share, color=GREY, linewidth=0.8, linestyle=":")
    at = ("axes fraction", "data")
    panel.annotate(name, (1, share), (2, 0), at, "offset points", va="center", fontsize=6, color=GREY)


def _frame(panel: Axes, counts: pd.Series[float], top: float) -> None:
    """Set a logarithmic axis that spans the counts; the lines of bounds may leave it."""
    panel.set_xscale("log")
    log_axis(panel.xaxis, each=(1,))
    panel.set_xlim(0.7 * counts[counts > 0].min(), 1.6 * counts.max())
    panel.set_ylim(0, top)


def _count_styles(count: int) -> list[dict[str, Any]]:
    """Return a style for each number of prompts: from dark to light, with different markers."""
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, count))
    return [{"color": mpl.colors.to_hex(shade), "marker": MARKERS[i % len(MARKERS)]} for i, shade in enumerate(shades)]


def _model_styles(rows: pd.DataFrame) -> list[dict[str, Any]]:
    return [{"color": PALETTE[1 + i], "marker": MARKERS[i]} for i in range(rows["series"].nunique())]


def _names(rows: pd.DataFrame) -> list[str]:
    return list(rows["series"].unique())


def _handles(frame: pd.DataFrame, styles: dict[str, Any]) -> list[Line2D]:
    """Return the legend entries; pools may differ in size, and the numbers of prompts are those of the first."""
    curve = frame[frame["kind"] == "curve"]
    counts = curve.loc[curve["source"] == curve["source"].min(), "prompts"].unique()
    handles = [
        Line2D([], [], label=f"{count:.0f} prompt{'s' if count > 1 else ''}", **style)
        for count, style in zip(counts, _count_styles(len(counts)), strict=True)
    ]
    models = frame[(frame["source"] == PUBLISHED) & (frame["kind"] == "final")]
    for name, style in zip(_names(models), _model_styles(models), strict=True):
        handles.append(Line2D([], [], linestyle="", label=f"{name}, published", **style))
    return handles + [Line2D([], [], color="black", linewidth=1, label=n, linestyle=s) for n, s in styles.items()]
