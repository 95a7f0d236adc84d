"""Figure of rollouts per informative group: measured, expected under uniform sampling, and the least possible."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from dopr.analysis.display_names import display_name
from dopr.analysis.informative_share import informative_share, rollouts_per_informative_group
from dopr.analysis.results import Results
from dopr.bounds.measured_constants import group_size, pool_informative_share, spent_per_informative_group
from dopr.config.schema import Config
from dopr.figures.style import COLUMN, GREY, MEAN, PAGE, letter, log_axis, looks, new_figure

COLUMNS = ("pool", "method", "group", "seed", "measured", "least", "uniform", "uniform_low", "uniform_high")
LEAST: dict[str, Any] = {"color": "black", "linewidth": 1}
UNIFORM: dict[str, Any] = {**LEAST, "linestyle": (0, (2, 1))}


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers."""
    frame = collect(results, config.pools, config.methods, config.seeds, config.evaluate.bootstrap)
    return draw(frame), frame


def collect(
    results: Results, pools: Sequence[str], methods: Sequence[str], seeds: Sequence[int], replicates: int
) -> pd.DataFrame:
    """Return one row per pool, method and seed (or the mean of the seeds).

    Columns: pool, method, seed, group (group size G), measured (rollouts per informative group over the whole
    training), and for the mean: uniform with its 95 % interval (G / q, where q is the informative share of the pool's
    prompts at their first visit in the profile; empty if G is larger than the profile's groups) and least
    (G / q(1/2, G)).
    """
    rows: list[dict[str, Any]] = []
    for pool in pools:
        history, profile_group = results.history(pool), group_size(results.profile_ledger(pool))
        for method in methods:
            group = group_size(results.ledger(pool, method, seeds[0]))
            spent = [spent_per_informative_group(results.ledger(pool, method, seed)) for seed in seeds]
            names = {"pool": pool, "method": method, "group": group}
            mean = {**names, "seed": MEAN, "measured": sum(spent) / len(spent)}
            mean["least"] = rollouts_per_informative_group(float(informative_share(0.5, group)), group)
            if group <= profile_group:
                share = pool_informative_share(history, profile_group, group, replicates)
                shares = {"uniform": share.value, "uniform_low": share.high, "uniform_high": share.low}
                mean |= {name: rollouts_per_informative_group(q, group) for name, q in shares.items()}
            rows.append(mean)
            rows += [{**names, "seed": str(seed), "measured": n} for seed, n in zip(seeds, spent, strict=True)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def draw(frame: pd.DataFrame) -> Figure:
    """Draw a panel per pool and a row per method; a mean is infinite if a seed had no informative group."""
    pools, methods = list(frame["pool"].unique()), list(frame["method"].unique())
    width, columns = (PAGE, 4) if len(pools) > 1 else (COLUMN, 2)
    figure = new_figure(width, 1.0 + 0.2 * len(methods))
    panels = figure.subplots(1, len(pools), sharex=True, sharey=True, squeeze=False)[0]
    for panel, pool in zip(panels, pools, strict=True):
        _panel(panel, frame[frame["pool"] == pool], methods)
        panel.set_title(f"{pool} pool", loc="left")
    panels[0].invert_yaxis()
    if np.isinf(frame["measured"]).any():  # room for the note; all panels share the axis
        panels[0].set_xlim(right=1.8 * panels[0].get_xlim()[1])
    letter(panels)
    figure.legend(handles=_handles(), loc="outside lower center", ncols=columns)
    return figure


def _panel(panel: Axes, frame: pd.DataFrame, methods: Sequence[str]) -> None:
    styles = looks(methods)
    for y, method in enumerate(methods):
        rows = frame[frame["method"] == method]
        mean, seeds = rows[rows["seed"] == MEAN].iloc[0], rows[rows["seed"] != MEAN]
        extent = [y - 0.3, y + 0.3]
        panel.plot([mean["least"]] * 2, extent, **LEAST)
        panel.plot([mean["uniform"]] * 2, extent, **UNIFORM)
        panel.fill_betweenx(extent, mean["uniform_low"], mean["uniform_high"], color=GREY, alpha=0.2, linewidth=0)
        panel.plot(seeds["measured"], [y] * len(seeds), "|", color=styles[method].colour, markersize=5)
        panel.plot([mean["measured"]], [y], **styles[method].line)
        if math.isinf(mean["measured"]):
            transform = panel.get_yaxis_transform()
            panel.text(1, y, "none in a seed", transform=transform, ha="right", va="center", fontsize=7)
    panel.set_yticks(range(len(methods)), [display_name(method) for method in methods])
    panel.set_xscale("log")
    log_axis(panel.xaxis, each=(1, 2, 5))
    panel.set_xlabel("rollouts per informative group")


def _handles() -> list[Line2D]:
    return [
        Line2D([], [], color="black", marker="o", linestyle="", label="measured, mean"),
        Line2D([], [], color="black", marker="|", linestyle="", label="measured, each seed"),
        Line2D([], [], label="uniform sampling at first", **UNIFORM),
        Line2D([], [], label="least possible (p = 1/2)", **LEAST),
    ]
