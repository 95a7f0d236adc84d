"""Figure of every selector simulated on a pool's profile: its share of informative groups, and the prompts used."""

from __future__ import annotations

from types import ModuleType

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dopr.analysis.accuracy_history import AccuracyHistory
from dopr.analysis.display_names import display_name
from dopr.analysis.results import Results
from dopr.config.schema import Config
from dopr.figures.style import GREY, PAGE, PALETTE, letter, new_figure
from dopr.profiling.simulate import SelectorSimulation, compare
from dopr.selection import dapo, dopr, greso, lim, max_variance, mopps, one_shot, random_one, speed, ucb, uniform

# Imported rather than found by name, so that a change of one redraws the figure.
SELECTORS = (uniform, random_one, dapo, greso, speed, mopps, ucb, max_variance, lim, one_shot, dopr)
BEST = "best fixed choice"
STEPS = 256  # steps of a simulation
SEEDS = 10


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers for the pool `part`."""
    frame = collect(results, part, config.recipes[config.profile].group_size, STEPS, SEEDS)
    return draw(frame), frame


def collect(results: Results, pool: str, group_size: int, steps: int, seeds: int) -> pd.DataFrame:
    """Return one row per selector and measure: the mean over seeds, and low and high, its 95 % interval.

    The measures are those of dopr.profiling.simulate.SelectorSimulation.run. Selectors have their default options and
    choose one prompt per step; those that read a profile get the first two visits of each prompt. The last row is the
    best fixed choice, which is known only after the run.
    """
    history = {prompt: tuple(accuracies) for prompt, accuracies in results.history(pool).items()}
    first = {prompt: accuracies[:2] for prompt, accuracies in history.items()}
    simulation = SelectorSimulation(AccuracyHistory(history, steps), steps, first, group_size=group_size)
    rows = compare(simulation, {display_name(name_of(module)): (name_of(module), {}) for module in SELECTORS}, seeds)
    best = dict.fromkeys(("mean", "low", "high"), simulation.best)
    return pd.concat([pd.DataFrame(rows), pd.DataFrame([{"selector": BEST, "measure": "informative", **best}])]).assign(
        pool=pool
    )


def name_of(module: ModuleType) -> str:
    """Return the name of the selector that a module defines."""
    return module.__name__.rpartition(".")[2]


def draw(frame: pd.DataFrame) -> Figure:
    """Draw two panels with a row per selector, that with most informative groups on top."""
    best = float(frame.loc[frame["selector"] == BEST, "mean"].iloc[0])
    rows = frame[frame["selector"] != BEST]
    order = rows[rows["measure"] == "informative"].sort_values("mean", kind="stable")["selector"].tolist()
    figure = new_figure(PAGE, 2.9)
    informative, distinct = figure.subplots(1, 2, sharey=True)
    for panel, measure in ((informative, "informative"), (distinct, "distinct")):
        _intervals(panel, rows[rows["measure"] == measure].set_index("selector").loc[order])
    informative.axvline(best, color=GREY, linestyle="--", linewidth=0.8)
    informative.set_xlim(0, 1)
    informative.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    informative.set_yticks(range(len(order)), order)
    informative.set_title("informative groups (dashed: best fixed choice)", loc="left")
    informative.set_xlabel("informative groups, for each group generated")
    distinct.set_title("prompts used", loc="left")
    distinct.set_xlabel("different prompts given rollouts")
    distinct.set_xlim(left=0)
    letter((informative, distinct))
    return figure


def _intervals(panel: Axes, rows: pd.DataFrame) -> None:
    y = np.arange(len(rows))
    panel.hlines(y, rows["low"], rows["high"], color=PALETTE[1], linewidth=2.2, alpha=0.5)
    panel.plot(rows["mean"], y, "o", color=PALETTE[1])
