"""Summaries as text: the gain of each run, and the lines of tests and source."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dopr.files import DataError


def gains(scores: Path) -> str:
    """Return the sampled accuracy at the first and last checkpoint of every run, and the difference.

    Raises:
        DataError: there are no scores yet.
    """
    if not scores.is_file():
        raise DataError(f"{scores}: no such file; run the experiment first")
    frame = pd.read_csv(scores)
    sampled = next(column for column in frame.columns if column.startswith("avg_at_"))
    curves = frame.groupby(["pool", "method", "seed", "rollouts"], sort=False)[sampled].mean()
    runs = curves.groupby(level=["pool", "method", "seed"], sort=False)
    table = pd.DataFrame({"base": runs.first(), "final": runs.last()})
    table["gain"] = table["final"] - table["base"]
    return table.reset_index().to_string(index=False, float_format="{:.3f}".format)


def line_counts(root: Path) -> str:
    """Return the lines of tests and of source that are not blank, and their ratio."""
    count = {
        name: sum(
            bool(line.strip()) for folder in folders for path in (root / folder).rglob("*.py") for line in path.open()
        )
        for name, folders in (("tests", ("tests",)), ("source", ("src", "scripts")))
    }
    return f"{count['tests']} lines of tests / {count['source']} of source = {count['tests'] / count['source']:.2f}"
