"""Start a second Snakemake with another configuration at random moments of a run in the same folder.

    python benchmarks/second_run.py --starts 10

The second must be refused in one line, and the first must end as if it had been alone. One that comes when the first
has ended, or before it began, runs; the first configuration must then give its own results again.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import yaml

from dopr.errors import UserError
from program import campaign_arguments, run_program
from reduced_pipeline import OVERLAY, Pipeline, check, error_lines, undisturbed

PER_ROUND = 4
OTHER = {
    "train": {**OVERLAY["train"], "loss": {"clip_high": 0.3}},
    "evaluate": {**OVERLAY["evaluate"], "bootstrap": 21},
}


def start_second(pipeline: Pipeline) -> str:
    """Start the other configuration and return what it ended with.

    Raises:
        UserError: It was neither refused in one line nor run.
    """
    code = pipeline.start(overlay="other.yaml", log="second.txt").wait()
    output = pipeline.output("second.txt")
    errors = error_lines(output)
    if code == 0:
        return "came too late and ran"
    if len(errors) != 1 or "Traceback" in output:
        raise UserError(f"{pipeline.folder}: the second run was not refused in one line:\n{output}")
    return errors[0].partition(": ")[2][:60]


def round_(pipeline: Pipeline, seconds: float, starts: int, draw: random.Random) -> Counter[str]:
    """Start a run, and others in its way; return what these ended with.

    Raises:
        UserError: The first run failed.
    """
    moments = sorted(draw.uniform(0, seconds) for _ in range(starts))
    begin, first, ended = time.monotonic(), pipeline.start(), Counter[str]()
    for moment in moments:
        time.sleep(max(0.0, begin + moment - time.monotonic()))
        ended[start_second(pipeline)] += 1
    code = first.wait()
    if code and "another Snakemake runs" not in pipeline.output():  # the second may have been faster
        raise UserError(f"{pipeline.folder}: the first run ended with {code}:\n{pipeline.output()}")
    pipeline.finish()
    return ended


def run(args: argparse.Namespace) -> None:
    """Run the campaign and print how the second runs ended.

    Raises:
        UserError: A run did not end as it should.
    """
    folder = args.folder or Path(tempfile.mkdtemp(prefix="dopr-second-"))
    draw, ended = random.Random(args.seed), Counter[str]()
    expected, seconds = undisturbed(folder / "undisturbed")
    while ended.total() < args.starts:
        pipeline = Pipeline(folder / f"round-{ended.total()}").create()
        (pipeline.folder / "other.yaml").write_text(yaml.safe_dump({**OVERLAY, **OTHER}))
        ended += round_(pipeline, seconds, min(PER_ROUND, args.starts - ended.total()), draw)
        check(pipeline, expected)
        print(f"the same bytes after {ended.total()} starts: {dict(ended)}", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    run_program(__doc__, partial(campaign_arguments, name="--starts", default=8), run, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
