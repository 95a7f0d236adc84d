"""What Snakemake and starting programs cost a job: seconds of training jobs outside of their steps, after a run."""

from __future__ import annotations

import argparse
import base64
import csv
import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from dopr.errors import UserError

METADATA = Path(".snakemake/metadata")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add no options: the command has none."""


def run(args: argparse.Namespace) -> None:
    """Print the mean overhead of a training job.

    Raises:
        UserError: nothing has run here.
    """
    seconds = overheads()
    if not seconds:
        raise UserError("no training job has run here; run snakemake first")
    print(f"{len(seconds)} training jobs: {statistics.mean(seconds):.1f} s each outside of their steps, mean")


def snakemake_record(output: Path) -> dict[str, Any] | None:
    """Return Snakemake's record of an output, with its job's log, start and end, or None if there is none."""
    record = METADATA / base64.b64encode(str(output).encode(), b"-_").decode()
    content: dict[str, Any] | None = json.loads(record.read_text()) if record.is_file() else None
    return content


def step_seconds(path: Path) -> float:
    """Return the seconds of a run's steps: the last row of the file, which is cumulative."""
    with path.open(newline="") as file:
        *_, last = csv.DictReader(file)
    return float(last["wall_seconds"])


def overheads() -> list[float]:
    """Return the seconds outside of steps of each job; runs with the same log were one job."""
    spans: dict[str, tuple[float, float]] = {}
    steps: dict[str, float] = defaultdict(float)
    for path in sorted(Path("results").glob("train/*/*/*/seconds.csv")):
        if record := snakemake_record(path):
            (log,) = record["log"]
            start, end = spans.get(log, (record["starttime"], record["endtime"]))
            spans[log] = min(start, record["starttime"]), max(end, record["endtime"])
            steps[log] += step_seconds(path)
    return [end - start - steps[log] for log, (start, end) in spans.items()]
