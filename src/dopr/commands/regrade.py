"""Grade stored completions again: no model, no GPU. The same grader gives the same file, byte for byte.

The grader's settings are those in the file, or, for a file from elsewhere, the grader's defaults; --profile takes other
rules, and --extraction looks for answers elsewhere. A completion that is not UTF-8 is graded by what can be read of it;
it and empty ones are counted. Without --output a file whose verdicts change is replaced. What a reward function of
one's own judged (evaluate.reward) is left as it is, and counted: the function is not called again.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
from pydantic import ValidationError

from dopr.config.grading import OFFLINE, Verify
from dopr.errors import UserError
from dopr.evaluation.completions import (
    graded_rows,
    grader_settings,
    prompt_settings,
    read_completions,
    reward_settings,
    texts_of,
    write_completions,
)
from dopr.grading.grader import Grader

LIMITS = OFFLINE | {"max_error_share": 0.05}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("completions", nargs="+", type=Path, help="completions.parquet of one or more evaluations")
    parser.add_argument("--profile", help="grade by the rules of this profile (verify.profile)")
    parser.add_argument("--extraction", help="where answers are looked for (verify.extraction)")
    parser.add_argument("--output", type=Path, help="folder to write to, each file at its own path below it")


def run(args: argparse.Namespace) -> None:
    """Grade each file again and print how many verdicts changed, and how.

    Raises:
        UserError: a file cannot be graded (see read_completions), or the profile does not exist.
    """
    for path in args.completions:
        table = read_completions(path)
        given = {key: value for key in ("profile", "extraction") if (value := getattr(args, key))}
        with Grader(_verify((grader_settings(table) or LIMITS) | given)) as grader:
            graded, changes, report = regrade(table, grader)
            print(f"{path}: {report}")
            for (before, after), count in sorted(changes.items()):
                print(f"    {before} -> {after}: {count}")
            if args.output or changes:
                output = args.output / path.relative_to(path.anchor) if args.output else path
                write_completions([graded], grader, output, prompt_settings(table), reward_settings(table))


def regrade(table: pa.Table, grader: Grader) -> tuple[pa.Table, Counter[tuple[str, str]], str]:
    """Return the table with new verdicts, the changes counted by (before, after), and a line of all counts."""
    answers, _ = texts_of(table["answer"])
    texts, damaged = texts_of(table["text"])
    row_indices = graded_rows(table)
    before = [str(verdict) for verdict in table["verdict"].to_pylist()]
    grades = dict(zip(row_indices, grader.grades([(answers[i], texts[i]) for i in row_indices]), strict=True))
    verdicts = {i: grade.verdict for i, grade in grades.items()}
    changes = Counter((before[i], str(verdict)) for i, verdict in verdicts.items() if verdict != before[i])
    graded = _replaced(table, "verdict", verdicts)
    if "reward" in table.column_names:
        graded = _replaced(graded, "reward", {i: grade.score for i, grade in grades.items()})
    empty, kept = sum(not text.strip() for text in texts), len(texts) - len(row_indices)
    report = f"{len(texts)} completions, {changes.total()} verdicts changed; {empty} empty, {len(damaged)} not UTF-8"
    if damaged:
        report += f", the first in row {damaged[0]} ({table['prompt'][damaged[0]].as_py()!r})"
    return graded, changes, report + (f"; {kept} judged by a reward function, left as they are" if kept else "")


def _replaced(table: pa.Table, column: str, values: Mapping[int, Any]) -> pa.Table:
    """Return the table with other values in some rows of a column."""
    index, old = table.schema.get_field_index(column), table[column].to_pylist()
    changed = [values.get(i, value) for i, value in enumerate(old)]
    return table.set_column(index, table.schema.field(index), pa.array(changed, table.schema.field(index).type))


def _verify(settings: dict[str, Any]) -> Verify:
    try:
        return Verify(**settings)
    except ValidationError as error:
        problem = error.errors()[0]
        key = ".".join(map(str, problem["loc"]))
        raise UserError(f"verify.{key}: {problem['input']!r} is refused by this grader: {problem['msg']}") from None
