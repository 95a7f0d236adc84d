"""How the ranking by historical variance forms as a profile grows: some prompts' places, and agreement with the end."""

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
    """Rows of two kinds, distinguished by `panel`, for profiles of 2, 2 + every, ... visits, the last one whole.

    rank: the `rank` of each of `prompts` after `visits` visits.
    agreement: `spearman` with the ranking by all visits, over the variances of all prompts, and `overlap`, how many of
    the first TOP are among the final first TOP.
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
    """Historical variance of each visited prompt over its first visits, rounded so that exact ties are ties."""
    found = {prompt: np.var(values[:visits]) for prompt, values in history.items() if len(values)}
    return pd.Series(found, dtype=float).round(12)


def spearman(first: pd.Series, second: pd.Series) -> float:
    """Rank correlation with mean ranks for ties; nan where one of them is constant."""
    return float(first.rank().corr(second.rank()))


def draw(frame: pd.DataFrame) -> Figure:
    """Two panels: the places of the prompts, and agreement with the final ranking."""
    figure = new_figure(PAGE, 2.3)
    places, agreement = figure.subplots(1, 2)
    _places(places, frame[frame["panel"] == "rank"])
    _agreement(agreement, frame[frame["panel"] == "agreement"])
    letter((places, agreement))
    return figure


def _places(panel: Axes, rows: pd.DataFrame) -> None:
    for place, (prompt, one) in enumerate(rows.groupby("prompt", sort=False)):
        colour, marker = PALETTE[place % len(PALETTE)], MARKERS[place % len(MARKERS)]
        panel.plot(one["visits"], one["rank"], label=f"prompt {prompt}", color=colour, marker=marker)
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
