"""Write tables of an experiment, or of what papers print, from results on disk."""

import argparse
from pathlib import Path

import pandas as pd

from dopr.analysis.results import Results
from dopr.errors import exit_with_one_line
from dopr.tables.catalogue import TABLES
from dopr.tables.published import conflict_table, published_table
from dopr.workflow.rule_params import RuleParams

PUBLISHED = "published"


def main() -> None:
    """Write each table as .csv, .md, .tex and .html to OUTPUT."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("table", choices=[*TABLES, PUBLISHED], help="which ones")
    parser.add_argument("--config", type=Path, help="resolved configuration; not for what papers print")
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the stages' outputs")
    parser.add_argument("--ours", type=Path, help="our numbers beside a paper's, a file of scripts/own_numbers.py")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    if args.table == PUBLISHED:
        published_table(pd.read_csv(args.ours, keep_default_na=False)).write(args.output / "published")
        conflict_table().write(args.output / "conflicts")
    elif args.config:
        TABLES[args.table](Results(args.results), RuleParams.load(args.config).config, args.output)
    else:
        parser.error("--config is missing: `snakemake` writes one to results/configs")


if __name__ == "__main__":
    exit_with_one_line(main)
