"""Published numbers of papers, read from resources/published. A row is one number with its source.

Columns of every file but examples.csv and conflicts.csv:

    paper, version, where   arXiv number, version, and table or section; empty if unknown
    model, method, training the model, the method, and the training set: `base` is the starting policy; `pi1` is the
                            prompt with the highest historical variance, `pi1_pi13` two prompts; others are sources
    examples                number of training prompts
    step                    training step, if the number belongs to one
    measure, value, unit    `math500` and the like are accuracies; `average` is their mean over the six benchmarks
    status                  stated: printed by the paper; second-hand: printed by others only; inferred: corrected by
                            us; computed: from printed numbers
    note                    remarks
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from dopr.files import DataError

FOLDER = Path(__file__).parents[3] / "resources" / "published"
KEY = ("paper", "version", "where", "model", "method", "training", "examples", "step", "measure")
COLUMNS = (*KEY, "value", "unit", "status", "note")
EXAMPLE = ("example", "index_in_dsr_sub", "answer", "category", "remark")
CONFLICT = ("paper", "subject", "says", "where", "against", "against_where", "here")
STATUSES = ("stated", "second-hand", "inferred", "computed")
UNITS = ("%", "points", "steps", "tokens", "x")
SIX = ("math500", "aime24", "amc23", "minerva_math", "olympiadbench", "aime25")


def published(name: str, folder: Path = FOLDER) -> pd.DataFrame:
    """Read the numbers of NAME.csv. `value`, `step` and `examples` are floats, nan where empty; others are text.

    Raises:
        DataError: The file is missing, or a row is invalid. The message names the file and the line.
    """
    path = folder / f"{name}.csv"
    frame = _read(path, COLUMNS)
    for line, problem in _problems(frame):
        raise DataError(f"{path}: line {line}: {problem}")
    for column in ("value", "step", "examples"):
        frame[column] = pd.to_numeric(frame[column])
    return frame


def examples(folder: Path = FOLDER) -> pd.DataFrame:
    """Read the single training examples of the papers: index in DSR-sub, answer, category, and known errors."""
    return _read(folder / "examples.csv", EXAMPLE)


def conflicts(folder: Path = FOLDER) -> pd.DataFrame:
    """Read where a paper disagrees with itself, its code or another version, and what we use. All columns are text."""
    frame = _read(folder / "conflicts.csv", CONFLICT)
    for line, row in enumerate(frame.itertuples(index=False), 2):
        if "" in row:
            raise DataError(f"{folder / 'conflicts.csv'}: line {line}: {CONFLICT[row.index('')]} is empty; fill it in")
    return frame


def _read(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    """Read a file's rows as text."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; take it from git again")
    try:
        frame = pd.read_csv(path, dtype=str, keep_default_na=False)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV file ({error})") from None
    if tuple(frame.columns) != tuple(columns):
        raise DataError(
            f"{path}: line 1: its columns are {', '.join(frame.columns)}; they must be {', '.join(columns)}"
        )
    if frame.empty:
        raise DataError(f"{path}: holds no rows")
    return frame


def _problems(frame: pd.DataFrame) -> Iterator[tuple[int, str]]:
    """Yield the line number of each invalid row, and the problem."""
    for line, row in enumerate(frame.to_dict("records"), 2):  # the header is line 1
        for column in ("paper", "method", "measure"):
            if not row[column]:
                yield line, f"{column} is empty; fill it in"
        for column in ("step", "examples"):
            if row[column] and not row[column].isdecimal():
                yield line, f"{column} is {row[column]!r}; it must be a whole number or empty"
        for column, known in (("unit", UNITS), ("status", STATUSES)):
            if row[column] not in known:
                yield line, f"{column} is {row[column]!r}; it must be one of {', '.join(known)}"
        value = pd.to_numeric(row["value"], errors="coerce")
        if not 0 <= value < float("inf"):
            yield line, f"value is {row['value']!r}; it must be a number from 0 on"
        if row["unit"] == "%" and value > 100:
            yield line, f"value is {row['value']!r}; it must be at most 100 %"
    repeated = frame.duplicated([*KEY, "note"])
    if repeated.any():
        yield (
            int(repeated.to_numpy().argmax()) + 2,
            "repeats another row; take one out, or say in its note what it differs in",
        )
