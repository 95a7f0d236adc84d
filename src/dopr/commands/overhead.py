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
    """The command has no options."""


def run(args: argparse.Namespace) -> None:
    """Print the mean.

    Raises:
        UserError: nothing has run here.
    """
    found = overheads()
    if not found:
        raise UserError("no training job has run here; run snakemake first")
    print(f"{len(found)} training jobs: {statistics.mean(found):.1f} s each outside of their steps, mean")


def noted(output: Path) -> dict[str, Any] | None:
    """Snakemake's record of an output: its job's log, and when that began and ended."""
    record = METADATA / base64.b64encode(str(output).encode(), b"-_").decode()
    found: dict[str, Any] | None = json.loads(record.read_text()) if record.is_file() else None
    return found


def inner(path: Path) -> float:
    """Seconds of a run's steps: the file counts them up."""
    with path.open(newline="") as file:
        *_, last = csv.DictReader(file)
    return float(last["wall_seconds"])


def overheads() -> list[float]:
    """Seconds outside of steps, of each job; runs that share a log shared a job."""
    spans: dict[str, tuple[float, float]] = {}
    steps: dict[str, float] = defaultdict(float)
    for path in sorted(Path("results").glob("train/*/*/*/seconds.csv")):
        if record := noted(path):
            (log,) = record["log"]
            start, end = spans.get(log, (record["starttime"], record["endtime"]))
            spans[log] = min(start, record["starttime"]), max(end, record["endtime"])
            steps[log] += inner(path)
    return [end - start - steps[log] for log, (start, end) in spans.items()]
