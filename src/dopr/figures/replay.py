"""Every selector against a pool's recorded profile: the share of informative groups, and the prompts it used."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dopr.analysis.display_names import display_name
from dopr.analysis.results import Results
from dopr.config.schema import Config
from dopr.figures.style import GREY, PAGE, PALETTE, letter, new_figure
from dopr.profiling.accuracy_history import AccuracyHistory
from dopr.profiling.simulate import SelectorSimulation, compare
from dopr.selection import dapo, dopr, greso, lim, max_variance, mopps, one_shot, random_one, speed, ucb, uniform

# Imported, and not found by name, so that an edit of one redraws the figure.
SELECTORS = (uniform, random_one, dapo, greso, speed, mopps, ucb, max_variance, lim, one_shot, dopr)
BEST = "best fixed choice"
STEPS = 256  # that the recorded run is laid over
SEEDS = 20


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers for the pool `part`."""
    frame = collect(results, part, config.recipes[config.profile].group_size, STEPS, SEEDS)
    return draw(frame), frame


def collect(results: Results, pool: str, group_size: int, steps: int, seeds: int) -> pd.DataFrame:
    """Return one row for each selector and measure: the mean over seeds, and the ends of its interval.

    The measures are those of dopr.profiling.simulate.SelectorSimulation.run.

    Each has its default options and one prompt a step; those that read a profile are given each prompt's first two
    visits. The last row is the best fixed choice, known only afterwards.
    """
    history = {prompt: tuple(accuracies) for prompt, accuracies in results.history(pool).items()}
    first = {prompt: accuracies[:2] for prompt, accuracies in history.items()}
    replay = SelectorSimulation(AccuracyHistory(history, steps), steps, first, group_size=group_size)
    frame = compare(replay, {display_name(name_of(module)): (name_of(module), {}) for module in SELECTORS}, seeds)
    best = dict.fromkeys(("mean", "low", "high"), replay.best)
    return pd.concat([frame, pd.DataFrame([{"selector": BEST, "measure": "informative", **best}])]).assign(pool=pool)


def name_of(module: ModuleType) -> str:
    """The selector that a module defines."""
    return module.__name__.rpartition(".")[2]


def draw(frame: pd.DataFrame) -> Figure:
    """Two panels with a line for each selector, the most informative on top."""
    best = float(frame.loc[frame["selector"] == BEST, "mean"].iloc[0])
    rows = frame[frame["selector"] != BEST]
    order = rows[rows["measure"] == "informative"].sort_values("mean", kind="stable")["selector"].tolist()
    figure = new_figure(PAGE, 2.9)
    signal, spread = figure.subplots(1, 2, sharey=True)
    for panel, measure in ((signal, "informative"), (spread, "distinct")):
        _intervals(panel, rows[rows["measure"] == measure].set_index("selector").loc[order])
    signal.axvline(best, color=GREY, linestyle="--", linewidth=0.8)
    signal.set_xlim(0, 1)
    signal.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    signal.set_yticks(range(len(order)), order)
    signal.set_title("informative groups (dashed: best fixed choice)", loc="left")
    signal.set_xlabel("informative groups, for each group generated")
    spread.set_title("prompts used", loc="left")
    spread.set_xlabel("different prompts given rollouts")
    spread.set_xlim(left=0)
    letter((signal, spread))
    return figure


def _intervals(panel: Axes, rows: pd.DataFrame) -> None:
    places = np.arange(len(rows))
    panel.hlines(places, rows["low"], rows["high"], color=PALETTE[1], linewidth=2.2, alpha=0.5)
    panel.plot(rows["mean"], places, "o", color=PALETTE[1])
