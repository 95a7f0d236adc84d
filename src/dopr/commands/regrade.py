"""Grade stored completions again: no model, no GPU. The same grader gives the same file, byte for byte.

The grader's settings are those in the file, or, for a file from elsewhere, the defaults of config.yaml; --profile takes
other rules. A completion that is not UTF-8 is graded by what can be read of it; it and empty ones are counted. Without
--output a file whose verdicts change is replaced.
"""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from dopr.completions import grader_settings, prompt_settings, read_completions, texts_of, write_completions
from dopr.errors import UserError
from dopr.verify.grader import Grader
from dopr.verify.section import Verify

LIMITS: dict[str, Any] = {"seconds": 5, "memory_mb": 2048, "max_error_share": 0.05}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's options."""
    parser.add_argument("completions", nargs="+", type=Path, help="completions.parquet of one or more evaluations")
    parser.add_argument("--profile", help="grade by the rules of this profile (verify.profile)")
    parser.add_argument("--output", type=Path, help="folder to write to, each file at its own path below it")


def run(args: argparse.Namespace) -> None:
    """Grade each file again and print how many verdicts changed, and how.

    Raises:
        UserError: a file cannot be graded (see read_completions), or the profile does not exist.
    """
    for path in args.completions:
        table = read_completions(path)
        settings = grader_settings(table) or LIMITS
        with Grader(_verify(settings | ({"profile": args.profile} if args.profile else {}))) as grader:
            graded, changes, report = regrade(table, grader)
            print(f"{path}: {report}")
            for (before, after), count in sorted(changes.items()):
                print(f"    {before} -> {after}: {count}")
            if args.output:
                write_completions([graded], grader, args.output / path.relative_to(path.anchor), prompt_settings(table))
            elif changes:
                write_completions([graded], grader, path, prompt_settings(table))


def regrade(table: pa.Table, grader: Grader) -> tuple[pa.Table, Counter[tuple[str, str]], str]:
    """The table with new verdicts, the changed ones counted by (before, after), and a line that counts everything."""
    answers, _ = texts_of(table["answer"])
    texts, damaged = texts_of(table["text"])
    verdicts = grader.grade(list(zip(answers, texts, strict=True)))
    before = [str(verdict) for verdict in table["verdict"].to_pylist()]
    changes = Counter(pair for pair in zip(before, map(str, verdicts), strict=True) if pair[0] != pair[1])
    place = table.schema.get_field_index("verdict")
    graded = table.set_column(place, table.schema.field(place), pa.array(verdicts, table.schema.field(place).type))
    empty = sum(not text.strip() for text in texts)
    report = f"{len(texts)} completions, {changes.total()} verdicts changed; {empty} empty, {len(damaged)} not UTF-8"
    if damaged:
        report += f", the first in row {damaged[0]} ({table['prompt'][damaged[0]].as_py()!r})"
    return graded, changes, report


def _verify(settings: dict[str, Any]) -> Verify:
    try:
        return Verify(**settings)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise UserError(f"verify.{key}: {problem['input']!r} is refused by this grader: {problem['msg']}") from None
