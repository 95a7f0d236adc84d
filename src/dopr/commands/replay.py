"""Replay a recorded reward history with any selectors: no model, seconds instead of hours.

HISTORY is a profile's history.json, a ledger.parquet, the rewards.jsonl of a selector in TRL or verl, or the public
acc_step_500.json of 1-shot RLVR. A selector is a name, or a name with options: dopr:candidates=all,exploration=0.
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import re
import time
from collections.abc import Sequence
from dataclasses import astuple, fields
from pathlib import Path
from typing import Any

from dopr.analysis.accuracy_history import AccuracyHistory, read_history
from dopr.errors import UserError
from dopr.files import write_text
from dopr.profiling.simulate import CAVEAT, Measured, SelectorSimulation, compare
from dopr.selection.selector import built_in, check_options

SHARES = ("informative", "regret", "updates")  # shown in percent


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    everything = [name for name in built_in() if name != "fixed"]
    parser.add_argument("history", type=Path, help="the recorded history")
    parser.add_argument("--selector", nargs="+", default=everything, metavar="NAME[:OPTION=VALUE,...]")
    parser.add_argument("--steps", type=positive, default=500, help="steps of the replay")
    parser.add_argument("--recorded-steps", type=positive, help="steps of the run that was recorded (default: --steps)")
    parser.add_argument("--seeds", type=positive, default=20, help="number of seeds")
    parser.add_argument("--group-size", type=positive, default=8, help="rollouts of a prompt")
    parser.add_argument("--count", type=positive, default=1, help="prompts a step")
    parser.add_argument("--profile", type=Path, help="the history that selectors are given (default: first visits)")
    parser.add_argument("--profile-visits", type=positive, default=1, help="how many visits of it they are given")
    parser.add_argument("--output", type=Path, help="write the numbers to this CSV file")


def run(args: argparse.Namespace) -> None:
    """Replay, print a table, and write the numbers.

    Raises:
        UserError: the history cannot be read, or a selector or its options do not exist.
    """
    start = time.perf_counter()
    history = read_history(args.history)
    record = AccuracyHistory(history, args.recorded_steps or args.steps)
    profile = read_history(args.profile) if args.profile else history
    selector_profile = {prompt: accuracies[: args.profile_visits] for prompt, accuracies in profile.items()}
    selectors = {text: parse(text) for text in args.selector}
    simulation = SelectorSimulation(record, args.steps, selector_profile, args.count, args.group_size)
    rows = compare(simulation, selectors, args.seeds)
    print(table(rows))
    print(f"\n{len(record.pool)} prompts, {args.steps} steps, {args.seeds} seeds, mean and 95 % interval over seeds.")
    print(f"The best fixed choice has {100 * simulation.best:.1f} % informative groups. {CAVEAT}")
    print(f"{time.perf_counter() - start:.1f} seconds")
    if args.output:
        write_text(args.output, csv_of(rows))


def parse(text: str) -> tuple[str, dict[str, Any]]:
    """Return a selector's name and checked options from NAME:OPTION=VALUE,...; values are JSON, or else plain text.

    NAME may have a colon itself, as FILE.py:NAME does.

    Raises:
        UserError: there is no such selector, or it does not take an option.
    """
    name, *given = re.split(r":(?=[^:]*=)", text, maxsplit=1)
    rest = given[0] if given else ""
    options: dict[str, Any] = {}
    for pair in re.split(r",(?![^\[]*\])", rest) if rest else []:
        option, _, value = pair.partition("=")
        try:
            options[option] = json.loads(value)
        except ValueError:
            options[option] = value
    try:
        return name, check_options(name, options)
    except ValueError as error:
        raise UserError(f"--selector {text}: {error}") from None


def table(rows: Sequence[Measured]) -> str:
    """Return the comparison as a Markdown table, one row per selector."""
    cells: dict[str, dict[str, str]] = {}
    for row in rows:
        cells.setdefault(row.selector, {})[row.measure] = cell(row)
    measures = list(dict.fromkeys(row.measure for row in rows))
    heads = [f"{measure}, %" if measure in SHARES else measure for measure in measures]
    lines = ["| selector | " + " | ".join(heads) + " |", "|---|" + "---:|" * len(measures)]
    return "\n".join([*lines, *(f"| {selector} | {' | '.join(of.values())} |" for selector, of in cells.items())])


def cell(row: Measured) -> str:
    """Return `mean [low, high]`, or only the mean if all seeds agree."""
    scale, digits = (100, 1) if row.measure in SHARES else (1, 0)
    mean, low, high = (f"{scale * value:.{digits}f}" for value in (row.mean, row.low, row.high))
    return mean if low == high else f"{mean} [{low}, {high}]"


def csv_of(rows: Sequence[Measured]) -> str:
    """Return the comparison as CSV, one row per selector and measure."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([field.name for field in fields(Measured)])
    for row in rows:
        selector, measure, *numbers = astuple(row)
        writer.writerow([selector, measure, *(f"{number:.6f}" for number in numbers)])
    return text.getvalue()


def positive(text: str) -> int:
    """Parse a positive integer; for argparse's type=.

    Raises:
        argparse.ArgumentTypeError: it is not a positive integer.
    """
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"{text!r} is not a positive integer")
    return int(text)
