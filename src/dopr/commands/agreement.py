"""Where grading profiles differ: every profile on the same stored completions.

COMPLETIONS are Parquet files or JSON lines with the columns `reference` and `text` (others are ignored), or with
`prompt` in place of `reference`, when --questions gives the file that holds the prompts' answers. If there is a column
`verdict`, as in files of this library, or `correct` (true or false), it is compared as well, as `stored`. Columns of
other names are given by --columns, as in `reference=gt text=code correct=score`. A list of texts is one completion for
each, and then `correct` or `verdict` is a list as well.
"""

from __future__ import annotations

import argparse
import itertools
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

import pandas as pd

from dopr.commands.replay import positive
from dopr.config.grading import OFFLINE, Extraction, ProfileName, Verify
from dopr.data.rows import file_rows
from dopr.files import DataError, read_prompts, write_text
from dopr.grading.grader import Grader

STORED = "stored"
NAMED = {"true": "correct", "1": "correct", "false": "wrong", "0": "wrong"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("completions", nargs="+", type=Path, metavar="COMPLETIONS")
    parser.add_argument("--questions", type=Path, help="prompts, as JSON lines, for completions without references")
    parser.add_argument("--columns", nargs="+", type=named, default=[], metavar="NAME=COLUMN", help="other names")
    parser.add_argument("--profiles", nargs="+", choices=get_args(ProfileName), default=get_args(ProfileName))
    parser.add_argument("--extraction", choices=get_args(Extraction), help="where answers are looked for, by all")
    parser.add_argument("--workers", type=positive, default=2)
    parser.add_argument("--output", type=Path, help="where to write the completions on which they differ, as CSV")


def run(args: argparse.Namespace) -> None:
    """Print counts of verdicts and the agreement of each pair of profiles; write the completions they differ on.

    Raises:
        DataError: a file cannot be read, or lacks a column.
    """
    columns = dict(args.columns)
    frame = pd.concat([read(path, args.questions, columns) for path in args.completions], ignore_index=True)
    for profile in args.profiles:
        limits = Verify(**OFFLINE, profile=profile, extraction=args.extraction, workers=args.workers)
        with Grader(limits) as grader:
            frame[profile] = grader.grade(list(zip(frame["reference"], frame["text"], strict=True)))
            print(f"{profile}: {grader.version}")
    names = [*([STORED] if STORED in frame else []), *args.profiles]
    print(f"\n{len(frame):,} completions\n\n{counts(frame, names)}\n\n{agreements(frame, names)}")
    if args.output:
        differ = frame[(frame[names] == "correct").nunique(axis=1) > 1]
        write_text(args.output, differ.to_csv(index=False, lineterminator="\n"))
        print(f"\n{args.output}: the {len(differ):,} on which they differ")


def read(path: Path, questions: Path | None, columns: Mapping[str, str]) -> pd.DataFrame:
    """Return a frame with reference, text and, if the file has verdicts, stored.

    columns: maps our names of columns to the file's, where they differ.

    Raises:
        DataError: the file cannot be read, lacks a column, or a completion is no text; names the row.
    """
    answers = {prompt.id: prompt.answer for prompt in read_prompts(questions)} if questions else {}
    records = []
    for number, row in file_rows(path):
        row = row | {name: row.get(column) for name, column in columns.items()}
        reference = row.get("reference", answers.get(row.get("prompt", "")))
        texts = row["text"] if isinstance(row.get("text"), list) else [row.get("text")]
        stored = verdicts(row) or [None] * len(texts)
        if isinstance(reference, int) and not isinstance(reference, bool):
            reference = str(reference)
        if not isinstance(reference, str) or not all(isinstance(text, str) for text in texts):
            missing = "text" if isinstance(reference, str) else "reference (or --questions with its prompt)"
            raise DataError(
                f"{path}: row {number}: has no {missing}; it has {', '.join(map(repr, row))} (see --columns)"
            )
        if len(texts) != len(stored):
            raise DataError(f"{path}: row {number}: has {len(texts)} texts, but {len(stored)} verdicts")
        for text, verdict in zip(texts, stored, strict=True):
            records.append({"reference": reference, "text": text, **({STORED: verdict} if verdict else {})})
    if not records:
        raise DataError(f"{path}: holds no completions")
    return pd.DataFrame(records)


def verdicts(row: Mapping[str, Any]) -> list[str | None]:
    """Return the stored verdict of a row's completion, or of each of several; empty if there is none."""
    for name in ("verdict", "correct"):
        if row.get(name) is not None:
            stored = row[name] if isinstance(row[name], list) else [row[name]]
            return stored if name == "verdict" else [NAMED.get(str(each).lower()) for each in stored]
    return []


def counts(frame: pd.DataFrame, names: list[str]) -> str:
    """Return the count of each verdict by profile, as Markdown."""
    verdicts = ("correct", "wrong", "unparsed", "timeout", "error")
    lines = ["| profile | " + " | ".join(verdicts) + " |", "|---|" + "---:|" * len(verdicts)]
    for name in names:
        by_verdict = Counter(frame[name])
        lines.append(f"| {name} | " + " | ".join(f"{by_verdict[verdict]:,}" for verdict in verdicts) + " |")
    return "\n".join(lines)


def agreements(frame: pd.DataFrame, names: list[str]) -> str:
    """Return how often each pair of profiles agrees on `correct`, and how often only one says it, as Markdown."""
    lines = ["| profiles | agree, % | first alone correct | second alone correct |", "|---|---:|---:|---:|"]
    for first, second in itertools.combinations(names, 2):
        one, other = frame[first] == "correct", frame[second] == "correct"
        only_one = f"{int((one & ~other).sum()):,} | {int((other & ~one).sum()):,}"
        lines.append(f"| {first}, {second} | {100 * (one == other).mean():.2f} | {only_one} |")
    return "\n".join(lines)


def named(text: str) -> tuple[str, str]:
    """Parse `NAME=VALUE` to a pair; for argparse's type=.

    Raises:
        argparse.ArgumentTypeError: there is no `=`, or a side of it is empty.
    """
    name, separator, value = text.partition("=")
    if not (name and separator and value):
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    return name, value
