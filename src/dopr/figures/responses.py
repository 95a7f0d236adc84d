"""Figure of held-out responses during training: length, and the shares with a box, with reflection, and truncated.

1-shot RLVR (arXiv 2504.20571) counts responses with one of the words rethink, recheck and recalculate, and those with a
box. It prints counts in Figure 4 and ratios in Table 15. We draw both as shares of the sampled responses.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dopr.analysis.reflection import REFLECTION
from dopr.analysis.results import Results
from dopr.config.schema import Config
from dopr.figures.measures import collect_measures, draw_measures
from dopr.grading.answers import last_boxed

LEAST = 0.05  # smallest upper end of an axis of shares
MEASURES = {
    "length": "length (tokens)",
    "boxed": "with a box",
    "reflection": "with reflection",
    "truncated": "cut at the limit",
}


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers."""
    frame = collect(results, config.pools, config.methods, config.seeds)
    return draw(frame), frame


def collect(results: Results, pools: Sequence[str], methods: Sequence[str], seeds: Sequence[int]) -> pd.DataFrame:
    """Return one row per pool, method, seed (or the mean of the seeds) and checkpoint after the first.

    Columns: pool, method, seed (a number or `mean`), rollouts, and MEASURES: mean completion tokens, and shares of the
    sampled responses with a complete box, with a word of reflection, and of those that ended at the token limit.
    """

    def of_run(pool: str, method: str, seed: int) -> pd.DataFrame:
        return shares(results.responses(pool, method, seed))

    frame = collect_measures(of_run, list(MEASURES), pools, methods, seeds)
    return frame[frame["rollouts"] > 0].reset_index(drop=True)  # a logarithmic axis has no 0


def shares(responses: pd.DataFrame) -> pd.DataFrame:
    """Return rollouts and MEASURES of each checkpoint."""
    texts = pd.Series(responses["text"].unique())
    boxed = dict(zip(texts, texts.map(lambda text: last_boxed(text) is not None), strict=True))
    reflecting = dict(zip(texts, texts.str.contains("|".join(REFLECTION), case=False, regex=True), strict=True))
    measured = responses.assign(
        length=responses["completion_tokens"],
        boxed=responses["text"].map(boxed),
        reflection=responses["text"].map(reflecting),
        truncated=responses["finish"] == "length",
    )
    return measured.groupby("step")[["rollouts", *MEASURES]].mean().reset_index(drop=True)


def draw(frame: pd.DataFrame) -> Figure:
    """Draw the measures that are not 0 throughout, as draw_measures does, with axes in percent for shares."""
    measures = {measure: name for measure, name in MEASURES.items() if (frame[measure] != 0).any()}
    figure = draw_measures(frame, measures)
    for axes in figure.axes:
        if axes.get_ylabel() != MEASURES["length"]:
            axes.yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
            low, high = axes.get_ylim()
            axes.set_ylim((0, LEAST) if high < LEAST or low == -high else (max(0, low), high))
    return figure
