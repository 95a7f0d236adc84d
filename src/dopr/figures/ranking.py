"""Figure of the ranking by historical variance as a profile grows: ranks of some prompts, agreement with the end."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from dopr.figures.style import GREY, MARKERS, PAGE, PALETTE, letter, log_axis, new_figure
from dopr.selection.parts.historical_variance import rank

TOP = 16


def collect(history: Mapping[str, Sequence[float]], prompts: Sequence[str], every: int = 2) -> pd.DataFrame:
    """Return rows of two kinds, distinguished by `panel`, for profiles of 2, 2 + every, ... and all visits.

    rank: the `rank` of each of `prompts` after `visits` visits.
    agreement: `spearman`, the rank correlation with the final variances over all prompts, and `overlap`, how
    many of the first TOP prompts are among the final first TOP.
    """
    longest = max(map(len, history.values()))
    final = variances(history, longest)
    best = set(final.sort_values(ascending=False, kind="stable").index[:TOP])
    rows: list[dict[str, object]] = []
    for visits in [*range(2, longest, every), longest]:
        now = variances(history, visits)
        order = [row.prompt for row in rank({prompt: values[:visits] for prompt, values in history.items()})]
        rows += [
            {"panel": "rank", "visits": visits, "prompt": prompt, "rank": order.index(prompt) + 1} for prompt in prompts
        ]
        agreement = spearman(now, final)
        overlap = len(best & set(order[:TOP]))
        rows.append({"panel": "agreement", "visits": visits, "spearman": agreement, "overlap": overlap})
    return pd.DataFrame(rows)


def variances(history: Mapping[str, Sequence[float]], visits: int) -> pd.Series:
    """Return the historical variance of each visited prompt over its first visits, rounded so that ties are exact."""
    by_prompt = {prompt: np.var(values[:visits]) for prompt, values in history.items() if len(values)}
    return pd.Series(by_prompt, dtype=float).round(12)


def spearman(first: pd.Series, second: pd.Series) -> float:
    """Return the rank correlation, with mean ranks for ties; nan if one of them is constant."""
    return float(first.rank().corr(second.rank()))


def draw(frame: pd.DataFrame) -> Figure:
    """Draw two panels: the ranks of the prompts, and the agreement with the final ranking."""
    figure = new_figure(PAGE, 2.3)
    ranks, agreement = figure.subplots(1, 2)
    _ranks(ranks, frame[frame["panel"] == "rank"])
    _agreement(agreement, frame[frame["panel"] == "agreement"])
    letter((ranks, agreement))
    return figure


def _ranks(panel: Axes, rows: pd.DataFrame) -> None:
    for i, (prompt, visited) in enumerate(rows.groupby("prompt", sort=False)):
        colour, marker = PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)]
        panel.plot(visited["visits"], visited["rank"], label=f"prompt {prompt}", color=colour, marker=marker)
    panel.set_yscale("log")
    log_axis(panel.yaxis)
    panel.invert_yaxis()
    panel.set_title("places in the ranking", loc="left")
    panel.set_xlabel("visits of each prompt")
    panel.set_ylabel("rank (1 is the highest variance)")
    panel.legend(loc="best")


def _agreement(panel: Axes, rows: pd.DataFrame) -> None:
    panel.plot(rows["visits"], rows["spearman"], color=PALETTE[1], marker=MARKERS[0], label="Spearman, all prompts")
    panel.plot(
        rows["visits"], rows["overlap"] / TOP, color=PALETTE[2], marker=MARKERS[1], label=f"overlap of the top {TOP}"
    )
    panel.axhline(1, color=GREY, linewidth=0.6)
    panel.set_title("agreement with the final ranking", loc="left")
    panel.set_xlabel("visits of each prompt")
    panel.set_ylim(-0.04, 1.08)
    panel.legend(loc="best")
