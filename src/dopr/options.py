"""Command-line options that the programs reading results share."""

from __future__ import annotations

import argparse
from pathlib import Path


def results_parser(description: str | None, output: str, methods: bool = True) -> argparse.ArgumentParser:
    """A parser with --results, --pools, --methods (or not), --seeds and --output; `output` says what it is."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--results", type=Path, default=Path("results"), help="folder of the stages' outputs")
    parser.add_argument("--pools", nargs="*", required=True, help="prompt pools")
    if methods:
        parser.add_argument("--methods", nargs="+", required=True, help="methods, in the order to show them")
    parser.add_argument("--seeds", nargs="+", type=int, required=True, help="seeds of the runs")
    parser.add_argument("--output", type=Path, required=True, help=output)
    return parser


def savings_parser(description: str | None, output: str) -> argparse.ArgumentParser:
    """The same with --reference, --targets and --bootstrap; parse_savings parses it."""
    parser = results_parser(description, output)
    parser.add_argument("--reference", required=True, help="method that savings are measured against")
    parser.add_argument("--targets", nargs="+", type=float, required=True, help="accuracies, from 0 to 1")
    parser.add_argument("--bootstrap", type=int, default=1000, help="replicates")
    return parser


def add_checkpoint(parser: argparse.ArgumentParser) -> None:
    """Add --checkpoint: which one of a run is reported."""
    parser.add_argument("--checkpoint", choices=["last", "best_on_validation"], default="last", help="what is reported")


def parse_savings(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The options of savings_parser; a reference that is no method ends the program with one line."""
    args = parser.parse_args()
    if args.reference not in args.methods:
        parser.error(f"--reference {args.reference} is not among --methods")
    return args


def named(text: str) -> tuple[str, str]:
    """`NAME=VALUE` as a pair; for argparse's type=.

    Raises:
        argparse.ArgumentTypeError: there is no `=`, or a side of it is empty.
    """
    name, found, value = text.partition("=")
    if not (name and found and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value


def counted(text: str) -> tuple[int | None, str]:
    """`COUNT=METHOD` as (count, method), where `all` counts as None; for argparse's type=.

    Raises:
        argparse.ArgumentTypeError: the count is neither a positive integer nor `all`.
    """
    count, method = named(text)
    if count != "all" and not (count.isdecimal() and int(count)):
        raise argparse.ArgumentTypeError(f"{count!r} is neither a positive number nor 'all'")
    return (None if count == "all" else int(count)), method


def named_list(text: str) -> tuple[str, list[str]]:
    """`NAME=A,B,C` as (name, [a, b, c]); for argparse's type=."""
    name, values = named(text)
    return name, values.split(",")
