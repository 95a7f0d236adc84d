"""Make the benchmarks, the validation questions and the prompt pools: drawn, or read from their sources."""

import argparse
from pathlib import Path

from dopr.data.job import write_dataset
from dopr.errors import exit_with_one_line
from dopr.workflow.rule_params import RuleParams


def main() -> None:
    """Write test.jsonl, validation.jsonl, one file a pool, and provenance.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="resolved configuration")
    parser.add_argument("--output", type=Path, required=True, help="folder to write to")
    args = parser.parse_args()
    params = RuleParams.load(args.config)
    write_dataset(params.config, params.data(), args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
