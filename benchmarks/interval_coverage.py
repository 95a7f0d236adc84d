"""How often the intervals of tables and figures hold the truth, by simulation of experiments like ours."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from dopr.analysis.interval_coverage import CASES, coverage
from dopr.commands.replay import positive
from program import run_program


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program's options."""
    parser.add_argument("--experiments", type=positive, default=2000, help="simulated experiments a case")
    parser.add_argument("--replicates", type=positive, default=1000)


def run(args: argparse.Namespace) -> None:
    """Print a table: shares of experiments, in percent."""
    print(f"95 % intervals that hold the truth, % of {args.experiments} experiments\n")
    print("| experiment | accuracy | in savings | difference | redrawn seeds: accuracy | difference |")
    print("|---|---:|---:|---:|---:|---:|")
    for case in CASES:
        found = coverage(case, args.experiments, args.replicates)
        shares = [found.accuracy, found.saved, found.difference, found.redrawn_accuracy, found.redrawn_difference]
        print(f"| {case.name} | " + " | ".join(f"{100 * share:.1f}" for share in shares) + " |", flush=True)


def main(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main()
