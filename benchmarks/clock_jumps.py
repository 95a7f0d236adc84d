"""Give results the times of a clock that jumped during their run, and see what Snakemake then does.

    python benchmarks/clock_jumps.py --jumps 8

All that was written after a random moment of a finished run gets another time of modification, from ten years earlier
to ten years later. Printed is how many jobs the same command runs again. Its results must be the same bytes, and after
`snakemake --touch`, which says that results are what they should be, nothing may be left to do.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

from dopr.errors import UserError
from program import campaign_arguments, run_program
from reduced_pipeline import Pipeline, differences, undisturbed

HOUR, YEAR = 3600.0, 365 * 86400.0
JUMPS = {"10 years back": -10 * YEAR, "1 hour back": -HOUR, "1 hour on": HOUR, "10 years on": 10 * YEAR}


def written(results: Path) -> Iterator[Path]:
    """Yield the files and folders of a results folder, but logs."""
    for path in results.rglob("*"):
        if "logs" not in path.relative_to(results).parts:
            yield path


def jump(results: Path, seconds: float, share: float) -> None:
    """Shift the times of the last share of what was written."""
    paths = sorted(written(results), key=lambda path: path.lstat().st_mtime)
    for path in paths[round((1 - share) * len(paths)) :]:
        time = path.lstat().st_mtime + seconds
        os.utime(path, (time, time), follow_symlinks=False)


def planned(pipeline: Pipeline) -> int:
    """Return how many jobs a command would run.

    Raises:
        UserError: Planning failed.
    """
    pipeline.finish("--dry-run")
    found = re.search(r"^total +(\d+)", pipeline.output(), re.MULTILINE)
    return int(found[1]) if found else 0


def run(args: argparse.Namespace) -> None:
    """Run the campaign and print what runs again after each jump.

    Raises:
        UserError: Results differ, or something is left to do.
    """
    folder = args.folder or Path(tempfile.mkdtemp(prefix="dopr-clock-"))
    draw, pipeline = random.Random(args.seed), Pipeline(folder / "undisturbed")
    expected, _ = undisturbed(pipeline.folder)
    for number in range(args.jumps):
        name, share = list(JUMPS)[number % len(JUMPS)], draw.uniform(0.05, 0.95)
        jump(pipeline.folder / "results", JUMPS[name], share)
        before = planned(pipeline)
        pipeline.finish()
        if differing := differences(pipeline.hashes(), expected):
            raise UserError(f"{pipeline.folder}: {len(differing)} results differ, such as {differing[0]}")
        after = planned(pipeline)
        pipeline.finish("--touch")
        if left := planned(pipeline):
            raise UserError(f"{pipeline.folder}: {left} jobs are left to do after --touch")
        print(f"{name}, {share:.0%} of the files: {before} jobs ran again, then {after}: the same bytes", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    run_program(__doc__, partial(campaign_arguments, name="--jumps", default=8), run, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
