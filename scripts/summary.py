"""Print what the experiment came to: gains by seed, and the rollouts each method needed, from results on disk."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.tables.summary import gains, line_counts


def main() -> None:
    """Print the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--results", type=Path, default=Path("results"))
    args = parser.parse_args()
    print(gains(args.results / "tables" / "scores.csv"))
    for table in ("main", "targets", "credit"):
        print(f"\n{table}\n\n{(args.results / 'tables' / f'{table}.md').read_text()}")
    print(line_counts(Path()))


if __name__ == "__main__":
    exit_with_one_line(main)
