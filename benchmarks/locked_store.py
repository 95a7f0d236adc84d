"""Let 16 jobs log to one MLflow database that another process locks for seconds at a time.

    python benchmarks/locked_store.py --jobs 16

Training must end as without the lock. Each run is then in the store in full, or one warning names the run and the
command `dopr log`. After that command, every run is in full.
"""

from __future__ import annotations

import argparse
import random
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import Popen

import pandas as pd

from dopr.errors import UserError
from program import campaign_arguments, run_program
from reduced_pipeline import OVERLAY, Pipeline

METHOD = "grpo"
LONGEST_LOCK, LONGEST_PAUSE = 15.0, 3.0  # seconds; a locked database is waited for for 10


def lock_again_and_again(database: Path, process: Popen[bytes], draw: random.Random) -> tuple[int, float]:
    """Lock a database while a process runs; return how often and for how many seconds in all."""
    count, total = 0, 0.0
    while process.poll() is None:
        if database.is_file():
            connection = sqlite3.connect(database, timeout=1.0, isolation_level=None)
            with suppress(sqlite3.OperationalError):  # a writer has it
                connection.execute("BEGIN EXCLUSIVE")
                seconds = draw.uniform(0.5, LONGEST_LOCK)
                with suppress(subprocess.TimeoutExpired):
                    process.wait(seconds)
                count, total = count + 1, total + seconds
            connection.close()
        time.sleep(draw.uniform(0.0, LONGEST_PAUSE))
    return count, total


def lacking(results: Path, jobs: int) -> list[str]:
    """Return the runs that the store does not have in full: finished, with the reward of every step."""
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{results / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("dopr").experiment_id
    found = {run.data.tags.get("dopr.run"): run.info for run in client.search_runs([experiment])}
    lacking = []
    for name in (f"easy/{METHOD}/{seed}" for seed in range(jobs)):
        steps = pd.read_csv(results / "train" / name / "metrics.csv")["step"].tolist()
        info = found.get(name)
        logged = sorted(metric.step for metric in client.get_metric_history(info.run_id, "reward")) if info else []
        if info is None or info.status != "FINISHED" or logged != steps:
            lacking.append(name)
    return lacking


def run(args: argparse.Namespace) -> None:
    """Run the campaign and print what was logged when.

    Raises:
        UserError: A run is neither in the store nor in a warning, or is not in the store after `dopr log`.
    """
    folder = args.folder or Path(tempfile.mkdtemp(prefix="dopr-store-"))
    pipeline = Pipeline(folder / "project", {**OVERLAY, "seeds": list(range(args.jobs)), "methods": [METHOD]}).create()
    results = pipeline.folder / "results"
    pipeline.finish("results/store.json", "results/base/0", "results/data/easy.jsonl")
    wanted = [f"results/train/easy/{METHOD}/{seed}/ledger.parquet" for seed in range(args.jobs)]
    process = pipeline.start("--cores", str(args.jobs), *wanted)
    locks, seconds = lock_again_and_again(results / "mlflow.db", process, random.Random(args.seed))
    if process.returncode:
        raise UserError(f"{folder}: Snakemake ended with {process.returncode}:\n{pipeline.output()}")
    warnings = [line for line in pipeline.output().splitlines() if line.startswith("warning: MLflow does not have")]
    missing = lacking(results, args.jobs)
    print(f"{locks} locks of {seconds:.0f} s in all: {args.jobs - len(missing)} of {args.jobs} runs were logged live")
    for name in missing:
        if sum(f" {name} " in line and "`dopr log " in line for line in warnings) != 1:
            raise UserError(f"{name}: is not in the store in full, and there is not one warning:\n{warnings}")
    command = [sys.executable, "-m", "dopr.cli", "log", str(results)]
    print(subprocess.run(command, capture_output=True, text=True, check=True).stdout, end="")
    if missing := lacking(results, args.jobs):
        raise UserError(f"{', '.join(missing)}: not in the store in full after `dopr log`")
    print(f"after `dopr log`, {args.jobs} of {args.jobs} are")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    run_program(__doc__, partial(campaign_arguments, name="--jobs", default=16), run, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
