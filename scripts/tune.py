"""Summarise the learning-rate search: rollouts each method needs on the validation questions, by learning rate."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.files import write_text
from dopr.tables.tuning import tuning_table
from dopr.workflow.rule_params import RuleParams


def main() -> None:
    """Write the table, and print it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("completions", type=Path, nargs="+", help="POOL/METHOD@RATE/SEED/completions.parquet")
    args = parser.parse_args()
    table = tuning_table(args.completions, RuleParams.load(args.config).config.evaluate.targets)
    write_text(args.output, table.to_csv(index=False, float_format="%.6g"))
    print(table.to_string(index=False))


if __name__ == "__main__":
    exit_with_one_line(main)
