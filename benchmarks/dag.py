"""Time and memory of planning a large experiment with `snakemake -n`: 10 models x 10 methods x seeds x 6 benchmarks.

A run's benchmarks are evaluated in one job, so 5 seeds are some thousand jobs; the second, of 18 seeds, has as many as
if each benchmark were one.
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import yaml

from dopr.errors import UserError
from program import run_program

SEEDS = (5, 18)


def overlay(seeds: int) -> dict[str, object]:
    """Return an overlay with ten pools, each with a policy of its own, ten methods, and six benchmarks."""
    config = yaml.safe_load(Path("config.yaml").read_text())
    pools = {f"model{i}": {**config["data"]["pools"]["easy"], "base_seed": i} for i in range(10)}
    return {
        "seeds": list(range(seeds)),
        "seeds_per_job": 1,
        "pools": list(pools),
        "methods": [*config["methods"], "dopr_cold", "tenth"],
        "recipes": {"tenth": {"like": "grpo"}},
        "data": {"pools": pools, "benchmarks": {"cross-domain": None}},
        "complexity": {"pools": ["model0"]},
    }


def run(args: argparse.Namespace) -> None:
    """Print jobs, seconds and memory for each number of seeds.

    Raises:
        UserError: this is not the project's folder.
    """
    if not Path("config.yaml").is_file():
        raise UserError("config.yaml: not here; run this in the project's folder")
    for seeds in SEEDS:
        with tempfile.NamedTemporaryFile("w", suffix=".yaml") as file:
            yaml.safe_dump(overlay(seeds), file)
            file.flush()
            command = ["snakemake", "--dry-run", "--quiet", "rules", "--forceall", "--configfile", file.name]
            start, used = time.monotonic(), resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            seconds = time.monotonic() - start
        jobs = re.findall(r"^total +(\d+)", done.stdout + done.stderr, re.MULTILINE)[0]
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        processor = after.ru_utime + after.ru_stime - used.ru_utime - used.ru_stime
        print(
            f"10 models x 10 methods x {seeds} seeds: {jobs} jobs, {seconds:.1f} s ({processor:.1f} s of processor), "
            f"at most {after.ru_maxrss / 2**20:.2f} GB of memory",
            flush=True,
        )


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    run_program(__doc__, lambda parser: None, run, arguments)


if __name__ == "__main__":
    main()
