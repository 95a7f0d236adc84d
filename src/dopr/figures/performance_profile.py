"""Figure of performance profiles (Agarwal et al. 2021, arXiv 2108.13264): the share of scores above each accuracy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from dopr.analysis.aggregates import by_benchmark, performance_profile, redrawn
from dopr.analysis.checkpoint_selection import at_reported, reported, validations
from dopr.analysis.comparison import Comparison, compare_pools
from dopr.analysis.results import Results
from dopr.analysis.statistics import interval
from dopr.config.schema import Config
from dopr.figures.style import MEAN, looks, row_of_pools
from dopr.records import derive_seed

THRESHOLDS = np.linspace(0, 1, 101)
MARKED = 10  # thresholds from one marker to the next


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers."""
    comparisons = compare_pools(results, config)
    validated = validations(results.root, config.evaluate.checkpoint, comparisons, config.evaluate.bootstrap)
    frame = collect(at_reported(comparisons, reported(comparisons, validated)), config.evaluate.bootstrap)
    return draw(frame), frame


def collect(comparisons: Sequence[Comparison], replicates: int) -> pd.DataFrame:
    """Return one row per pool, method, seed (or `mean`: all runs) and threshold.

    Columns: pool, method, seed, threshold, above (the share of benchmarks, or of runs x benchmarks, whose sampled
    accuracy is higher), and for all runs its 95 % interval, low and high, over runs redrawn within each benchmark.

    Args:
        comparisons: those of at_reported, whose last checkpoint is the reported one.
    """
    frames = []
    for comparison in comparisons:
        for method, evaluation in comparison.evaluations.items():
            scores, seed = by_benchmark(evaluation), derive_seed("aggregates", comparison.pool, method)
            low, high = interval(
                redrawn(lambda one_run: performance_profile(one_run, THRESHOLDS), [scores], replicates, seed)
            )
            names = {"pool": comparison.pool, "method": method, "threshold": THRESHOLDS}
            all_runs = {"seed": MEAN, "above": performance_profile(scores, THRESHOLDS), "low": low, "high": high}
            frames.append(pd.DataFrame({**names, **all_runs}))
            for run, one_run in zip(evaluation.runs, scores, strict=True):
                above = performance_profile(one_run[None], THRESHOLDS)
                frames.append(pd.DataFrame({**names, "seed": run, "above": above}))
    return pd.concat(frames, ignore_index=True)[["pool", "method", "seed", "threshold", "above", "low", "high"]]


def draw(frame: pd.DataFrame) -> Figure:
    """Draw all runs of a method as a line with its interval as a shade, every seed as a thin line; a panel per pool."""
    pools, methods = list(frame["pool"].unique()), list(frame["method"].unique())
    figure, panels = row_of_pools(pools, methods)
    styles = looks(methods)
    for panel, pool in zip(panels, pools, strict=True):
        for (method, seed), run in frame[frame["pool"] == pool].groupby(["method", "seed"], sort=False):
            style = styles[str(method)]
            if seed == MEAN:
                panel.step(run["threshold"], run["above"], where="post", zorder=3, markevery=MARKED, **style.line)
                shade = panel.fill_between(run["threshold"], run["low"], run["high"], step="post", color=style.colour)
                shade.set(alpha=0.1, linewidth=0)
            else:
                panel.step(run["threshold"], run["above"], where="post", color=style.colour, alpha=0.3, linewidth=0.5)
        panel.set_xlabel("accuracy on a benchmark (sampled)")
        panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0].set_ylabel("runs x benchmarks above it")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure
