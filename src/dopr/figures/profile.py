"""Figure of a pool's profile: historical variances, their ranking, and the accuracy histories of three prompts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from dopr.analysis.results import Results
from dopr.config.schema import Config
from dopr.figures.style import MARKERS, PAGE, PALETTE, letter, new_figure

EXAMPLES = {"highest variance": PALETTE[2], "middle variance": PALETTE[1], "lowest mean": PALETTE[0]}


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers for the pool `part`."""
    frame = collect(results, part)
    return draw(frame), frame


def collect(results: Results, pool: str) -> pd.DataFrame:
    """Return rows of two kinds, distinguished by `panel`.

    ranking: one row per visited prompt, with rank, prompt, family, variance, mean and visits.
    history: the accuracy at each visit (from 1) of the three prompts named in `example`.
    """
    ranking, history = results.ranking(pool), results.history(pool)
    chosen = examples(ranking)
    visits = [
        {"panel": "history", "example": name, "prompt": prompt, "visit": visit, "accuracy": accuracy}
        for name, prompt in chosen.items()
        for visit, accuracy in enumerate(history[prompt], 1)
    ]
    return pd.concat([ranking.assign(panel="ranking", pool=pool), pd.DataFrame(visits).assign(pool=pool)])


def examples(ranking: pd.DataFrame) -> Mapping[str, str]:
    """Return the prompts of EXAMPLES by name; a middle prompt is one among those with nonzero variance."""
    order = ranking.sort_values("rank")
    varied = order[order["variance"] > 0] if (order["variance"] > 0).any() else order
    least_solved = order[order["mean"] == order["mean"].min()]
    rows = (order.iloc[0], varied.iloc[len(varied) // 2], least_solved.iloc[-1])
    return dict(zip(EXAMPLES, (str(row["prompt"]) for row in rows), strict=True))


def draw(frame: pd.DataFrame) -> Figure:
    """Draw three panels: the distribution, the ranking with the ranks of each family, and the histories."""
    ranking, history = frame[frame["panel"] == "ranking"], frame[frame["panel"] == "history"]
    families = sorted(ranking["family"].unique())
    figure = new_figure(PAGE, 2.4)
    grid = figure.add_gridspec(2, 3, height_ratios=(8, len(families)))
    panels = [figure.add_subplot(grid[:, 0]), figure.add_subplot(grid[0, 1]), figure.add_subplot(grid[:, 2])]
    _distribution(panels[0], ranking)
    _ranking(panels[1], ranking)
    _families(figure.add_subplot(grid[1, 1], sharex=panels[1]), ranking, families)
    _histories(panels[2], history)
    letter(panels)
    return figure


def _distribution(panel: Axes, ranking: pd.DataFrame) -> None:
    edges = np.linspace(0, 0.25, 26).tolist()  # 1/4 is the largest variance of numbers within 0..1
    panel.hist(ranking["variance"], bins=edges, color=PALETTE[1])
    zero_share = float((ranking["variance"] == 0).mean())
    panel.set_title(f"distribution ({100 * zero_share:.0f}% at 0)", loc="left")
    panel.set_xlabel("historical variance")
    panel.set_ylabel("prompts")


def _ranking(panel: Axes, ranking: pd.DataFrame) -> None:
    panel.plot(ranking["rank"], ranking["variance"], color=PALETTE[1], drawstyle="steps-mid")
    panel.set_title("ranking", loc="left")
    panel.set_ylabel("historical variance")
    panel.tick_params(labelbottom=False)


def _families(panel: Axes, ranking: pd.DataFrame, families: Sequence[str]) -> None:
    """Draw a row of strokes per family, at the ranks of its prompts."""
    for i, family in enumerate(families):
        ranks = ranking.loc[ranking["family"] == family, "rank"]
        panel.vlines(ranks, i - 0.4, i + 0.4, color=PALETTE[0], linewidth=0.4)
    panel.set_yticks(range(len(families)), families)
    panel.set_ylim(len(families) - 0.4, -0.6)
    panel.grid(visible=False)
    panel.set_xlabel("rank")


def _histories(panel: Axes, history: pd.DataFrame) -> None:
    for (name, rows), marker in zip(history.groupby("example", sort=False), MARKERS, strict=False):
        panel.plot(rows["visit"], rows["accuracy"], marker=marker, color=EXAMPLES[str(name)], label=name)
    panel.set_title("accuracy at each visit", loc="left")
    panel.set_xlabel("visit")
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.set_ylim(-0.04, 1.45)  # room for the legend above the data
    panel.set_yticks(np.linspace(0, 1, 5))
    panel.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panel.legend(loc="upper left", handlelength=1.6)
