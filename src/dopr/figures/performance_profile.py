"""Performance profiles (Agarwal et al. 2021, arXiv 2108.13264): the share of runs and benchmarks above an accuracy."""

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
MARKED = 10  # every so many thresholds a marker


def make(results: Results, config: Config, part: str) -> tuple[Figure, pd.DataFrame]:
    """Return the figure of an experiment and its numbers."""
    comparisons = compare_pools(results, config)
    validated = validations(results.root, config.evaluate.checkpoint, comparisons, config.evaluate.bootstrap)
    frame = collect(at_reported(comparisons, reported(comparisons, validated)), config.evaluate.bootstrap)
    return draw(frame), frame


def collect(comparisons: Sequence[Comparison], replicates: int) -> pd.DataFrame:
    """One row a pool, method, seed (or `mean`: all runs) and threshold.

    Columns: pool, method, seed, threshold, above (the share of benchmarks, or of runs x benchmarks, whose sampled
    accuracy is higher), and for all runs its 95 % interval, low and high, over runs redrawn within each benchmark.

    Args:
        comparisons: with the reported checkpoint alone, as the last.
    """
    frames = []
    for comparison in comparisons:
        for method, evaluation in comparison.evaluations.items():
            scores, drawn = by_benchmark(evaluation), derive_seed("aggregates", comparison.pool, method)
            low, high = interval(
                redrawn(lambda each: performance_profile(each, THRESHOLDS), [scores], replicates, drawn)
            )
            names = {"pool": comparison.pool, "method": method, "threshold": THRESHOLDS}
            whole = {"seed": MEAN, "above": performance_profile(scores, THRESHOLDS), "low": low, "high": high}
            frames.append(pd.DataFrame({**names, **whole}))
            for run, each in zip(evaluation.runs, scores, strict=True):
                above = performance_profile(each[None], THRESHOLDS)
                frames.append(pd.DataFrame({**names, "seed": run, "above": above}))
    return pd.concat(frames, ignore_index=True)[["pool", "method", "seed", "threshold", "above", "low", "high"]]


def draw(frame: pd.DataFrame) -> Figure:
    """All runs of a method as a line with its interval as a shade, every seed as a thin line; a panel a pool."""
    pools, methods = list(frame["pool"].unique()), list(frame["method"].unique())
    figure, panels = row_of_pools(pools, methods)
    shown = looks(methods)
    for panel, pool in zip(panels, pools, strict=True):
        for (method, seed), run in frame[frame["pool"] == pool].groupby(["method", "seed"], sort=False):
            look = shown[str(method)]
            if seed == MEAN:
                panel.step(run["threshold"], run["above"], where="post", zorder=3, markevery=MARKED, **look.line)
                shade = panel.fill_between(run["threshold"], run["low"], run["high"], step="post", color=look.colour)
                shade.set(alpha=0.1, linewidth=0)
            else:
                panel.step(run["threshold"], run["above"], where="post", color=look.colour, alpha=0.3, linewidth=0.5)
        panel.set_xlabel("accuracy on a benchmark (sampled)")
        panel.xaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    panels[0].set_ylabel("runs x benchmarks above it")
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, decimals=0))
    return figure
