"""Create the tracking store, once, before jobs write to it at the same time."""

import argparse
from pathlib import Path

from dopr.errors import exit_with_one_line
from dopr.runtime.tracking_store import create_store


def main() -> None:
    """Write the database and a marker that says where everything is."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--database", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True, help="marker file")
    args = parser.parse_args()
    create_store(args.database, args.output)


if __name__ == "__main__":
    exit_with_one_line(main)
