"""Write the accuracies of runs in the form of published numbers, to be shown beside them."""

import argparse
from pathlib import Path

from dopr.analysis.results import Results
from dopr.analysis.run_numbers import run_numbers
from dopr.errors import exit_with_one_line
from dopr.files import write_text
from dopr.tables.typeset import csv_text


def main() -> None:
    """Write OUTPUT, a CSV file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the stages' outputs")
    parser.add_argument("--model", default="", help="the starting policy, as the hub calls it")
    parser.add_argument("--runs", nargs="*", default=[], help="POOL/METHOD/SEED of each; none: the file has no rows")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    parser.add_argument("--output", type=Path, required=True, help="file to write")
    args = parser.parse_args()
    write_text(args.output, csv_text(run_numbers(Results(args.results), args.model, args.runs, args.bootstrap)))


if __name__ == "__main__":
    exit_with_one_line(main)
