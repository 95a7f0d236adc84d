"""Write the tables of printed numbers beside ours, and of conflicts between papers and their code."""

import argparse
from pathlib import Path

import pandas as pd

from dopr.errors import exit_with_one_line
from dopr.tables.published import conflict_table, published_table


def main() -> None:
    """Write OUTPUT/published and OUTPUT/conflicts, each as .csv, .md, .tex and .html."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ours", type=Path, required=True, help="our numbers, a file of scripts/own_numbers.py")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    published_table(pd.read_csv(args.ours, keep_default_na=False)).write(args.output / "published")
    conflict_table().write(args.output / "conflicts")


if __name__ == "__main__":
    exit_with_one_line(main)
