"""How each benchmark is started from the command line."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from pathlib import Path

from dopr.errors import exit_with_one_line

Add = Callable[[argparse.ArgumentParser], None]


def run_program(
    description: str | None,
    add_arguments: Add,
    run: Callable[[argparse.Namespace], None],
    arguments: Sequence[str] | None,
) -> None:
    """Read the options and run; a mistake of the user costs one line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_arguments(parser)
    args = parser.parse_args(arguments)
    exit_with_one_line(lambda: run(args))


def campaign_arguments(parser: argparse.ArgumentParser, name: str, default: int) -> None:
    """Add the options of a campaign of random disturbances.

    Args:
        parser: The program's parser.
        name: The option that says how many disturbances there are.
        default: Its default.
    """
    parser.add_argument("--folder", type=Path, help="for what is run (default: a temporary one)")
    parser.add_argument(name, type=int, default=default)
    parser.add_argument("--seed", type=int, default=0)
