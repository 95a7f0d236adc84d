"""Sample complexity: measured accuracy against the number of prompts, and lower bounds beside what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import PercentFormatter

from dopr.bounds import rollouts_to_distinguish, unsharpened_floor
from dopr.comparison import Comparison
from dopr.constants import base_coverage, unsharpened
from dopr.figures.style import GREY, MARKERS, MEAN, PAGE, letter, log_axis, new_figure
from dopr.results import Results
from dopr.statistics import interval

BOUND_STYLES = ("-", (0, (4, 1.5)), (0, (1, 1)), (0, (6, 1.5, 1, 1.5)))
DISTINGUISH = "change of measure"


def collect(
    results: Results,
    comparisons: Sequence[Comparison],
    prompts: Sequence[tuple[int | None, str]],
    dimensions: Sequence[float],
    delta: float,
) -> pd.DataFrame:
    """Rows of three kinds, told apart by `panel`; `prompts` pairs a number of prompts (None: all) with its method.

    accuracy: final sampled accuracy of each seed and of their mean (with low and high), by number of prompts; the
        base policy is the row of 0 prompts.
    unsharpened: share of questions with a sampled accuracy of at most 1/2 at each checkpoint, with low and high.
    bound: `name` is the bound; share is its floor under the unsharpened share at `rollouts`, and below
        `vacuous_below` rollouts it excludes nothing. For the change of measure there is one row, whose rollouts are
        the least that tell the base policy from the last method's final one.
    """
    frames = []
    for comparison in comparisons:
        size = len(results.prompts(comparison.pool))
        ladder = [(count or size, method) for count, method in prompts]
        frames += [_accuracy(comparison, count, method) for count, method in [(0, ladder[-1][1]), *ladder]]
        frames += [_unsharpened(comparison, count, method) for count, method in ladder]
        frames.append(_bounds(comparison, ladder[-1][1], dimensions, delta))
    return pd.concat(frames, ignore_index=True)


def _accuracy(comparison: Comparison, count: int, method: str) -> pd.DataFrame:
    curve = comparison.curve(method)
    at = -1 if count else 0
    low, high = interval(curve.replicates[:, at])
    spent = {"panel": "accuracy", "pool": comparison.pool, "prompts": count, "rollouts": curve.rollouts[at]}
    names = {**spent, "method": method if count else "base"}
    seeds = comparison.evaluations[method].seeds
    rows: list[dict[str, Any]] = [
        {**names, "seed": MEAN, "share": curve.mean[at], "low": float(low), "high": float(high)}
    ]
    rows += [
        {**names, "seed": str(seed), "share": share} for seed, share in zip(seeds, curve.by_seed[:, at], strict=True)
    ]
    return pd.DataFrame(rows)


def _unsharpened(comparison: Comparison, count: int, method: str) -> pd.DataFrame:
    curve = unsharpened(comparison, method)
    low, high = interval(curve.replicates)
    names = {"panel": "unsharpened", "pool": comparison.pool, "prompts": count, "method": method, "seed": MEAN}
    return pd.DataFrame({**names, "rollouts": curve.rollouts, "share": curve.mean, "low": low, "high": high})


def _bounds(comparison: Comparison, method: str, dimensions: Sequence[float], delta: float) -> pd.DataFrame:
    cover = base_coverage(comparison, method).value
    curve = comparison.curve(method)
    names = {"panel": "bound", "pool": comparison.pool, "method": method}
    rollouts = np.geomspace(1, max(float(e.rollouts[-1]) for e in comparison.evaluations.values()), 60)
    frames = []
    for dimension in dimensions:
        floor = {"rollouts": rollouts, "share": unsharpened_floor(cover, dimension, rollouts)}
        frames.append(
            pd.DataFrame({**names, "name": f"d = {dimension:g}", "vacuous_below": cover * dimension, **floor})
        )
    least = rollouts_to_distinguish(float(curve.mean[0]), float(curve.mean[-1]), delta)
    return pd.concat([*frames, pd.DataFrame([{**names, "name": DISTINGUISH, "rollouts": least}])])


def draw(frame: pd.DataFrame) -> Figure:
    """A row a pool: accuracy by number of prompts; the bounds with the measured share of unsharpened questions."""
    pools = list(frame["pool"].unique())
    figure = new_figure(PAGE, 2.3 * len(pools) + 0.6)
    grid = figure.subplots(len(pools), 2, squeeze=False)
    for (left, right), pool in zip(grid, pools, strict=True):
        rows = frame[frame["pool"] == pool]
        _draw_accuracy(left, rows[rows["panel"] == "accuracy"])
        left.set_title(f"{pool} pool: measured accuracy", loc="left")
        _draw_bounds(right, rows)
        right.set_title(f"{pool} pool: measured, and lower bounds", loc="left")
    letter(grid.ravel())
    figure.legend(handles=_handles(frame), loc="outside lower center", ncols=3)
    return figure


def _draw_accuracy(panel: Axes, rows: pd.DataFrame) -> None:
    mean, seeds = rows[rows["seed"] == MEAN], rows[rows["seed"] != MEAN]
    base, trained = mean[mean["prompts"] == 0], mean[mean["prompts"] > 0]
    panel.plot(trained["prompts"], trained["share"], color=GREY, linewidth=0.8)
    for (_, row), look in zip(trained.iterrows(), _looks(len(trained)), strict=True):
        ends = [[row["share"] - row["low"]], [row["high"] - row["share"]]]
        panel.errorbar([row["prompts"]], [row["share"]], ends, capsize=2, zorder=3, **look)
        runs = seeds[seeds["prompts"] == row["prompts"]]
        panel.plot(runs["prompts"] * 1.12, runs["share"], "_", color=look["color"], markersize=5)
    panel.axhline(float(base["share"].iloc[0]), color=GREY, linewidth=0.8, linestyle=":")
    place = (1.0, float(base["share"].iloc[0]))
    panel.annotate("base policy", place, (-2, 2), ("axes fraction", "data"), "offset points", ha="right", fontsize=7)
    panel.set_xscale("log")
    panel.set_xticks(trained["prompts"].to_list(), [f"{count:.0f}" for count in trained["prompts"]])
    panel.set_xticks([], minor=True)
    panel.set_xlabel("training prompts, by historical variance")
    panel.set_ylabel("held-out accuracy (sampled)")
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _draw_bounds(panel: Axes, rows: pd.DataFrame) -> None:
    measured = rows[rows["panel"] == "unsharpened"]
    counts = measured["prompts"].unique()
    for count, look in zip(counts, _looks(len(counts)), strict=True):
        run = measured[(measured["prompts"] == count) & (measured["rollouts"] > 0)]
        panel.plot(run["rollouts"], run["share"], **look)
        panel.fill_between(run["rollouts"], run["low"], run["high"], color=look["color"], alpha=0.15, linewidth=0)
    bounds = rows[rows["panel"] == "bound"]
    floors = bounds[bounds["name"] != DISTINGUISH]
    for (_, floor), style in zip(floors.groupby("name", sort=False), BOUND_STYLES, strict=False):
        panel.plot(floor["rollouts"], floor["share"], color="black", linestyle=style, linewidth=1)
    least = float(bounds.loc[bounds["name"] == DISTINGUISH, "rollouts"].iloc[0])
    panel.axvline(least, color=GREY, linestyle=":")
    panel.set_xscale("log")
    log_axis(panel.xaxis, each=(1,))
    panel.set_ylim(0, 1.03)
    panel.set_xlabel("training rollouts")
    panel.set_ylabel("questions with accuracy ≤ 1/2")
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))


def _looks(count: int) -> list[dict[str, Any]]:
    """Dark to light with the number of prompts, each with a marker of its own."""
    shades = mpl.colormaps["viridis"](np.linspace(0, 0.85, count))
    return [{"color": mpl.colors.to_hex(shade), "marker": MARKERS[i % len(MARKERS)]} for i, shade in enumerate(shades)]


def _handles(frame: pd.DataFrame) -> list[Line2D]:
    """Legend entries; those of the bounds hold for every pool, as all start from one policy."""
    measured = frame[frame["panel"] == "unsharpened"]
    pool = measured["pool"].iloc[0]
    counts = measured.loc[measured["pool"] == pool, "prompts"].unique()
    handles = [
        Line2D([], [], label=f"{count:.0f} prompt{'s' if count > 1 else ''}", **look)
        for count, look in zip(counts, _looks(len(counts)), strict=True)
    ]
    floors = frame[(frame["panel"] == "bound") & (frame["name"] != DISTINGUISH)].groupby("name", sort=False)
    for (name, floor), style in zip(floors, BOUND_STYLES, strict=False):
        text = f"sharpening bound, {name} (vacuous below {floor['vacuous_below'].iloc[0]:.0f})"
        handles.append(Line2D([], [], color="black", linestyle=style, linewidth=1, label=text))
    return [*handles, Line2D([], [], color=GREY, linestyle=":", label="least rollouts to tell base from trained")]
