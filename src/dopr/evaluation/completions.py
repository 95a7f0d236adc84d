"""Files of graded completions: compressed Parquet with everything that grading needs, and with the grader's name."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from dopr.files import DataError
from dopr.grading.grader import Grader
from dopr.parquet_files import read_parquet, write_parquet

# Keys of the file's metadata. The values are JSON.
GRADER = b"dopr.grader"  # the grader's version and settings
PROMPT = b"dopr.prompt"  # the template's name, its hash, and what was changed in it
REWARDS = b"dopr.rewards"  # benchmarks that a reward function scored: {name: {function, sha256}}
GRADED = ("prompt", "answer", "verdict", "text")  # the columns that grading reads and writes


def write_completions(
    tables: Sequence[pa.Table],
    grader: Grader,
    output: Path,
    prompt: Mapping[str, Any],
    rewards: Mapping[str, Any],
) -> None:
    """Join tables into one compressed file. Equal content gives equal bytes.

    Args:
        tables: Tables with dopr.evaluation.evaluate.SCHEMA.
        grader: The grader of the completions, for the metadata.
        output: The file.
        prompt: The template, for the metadata.
        rewards: Reward functions by benchmark (dopr.workflow.rule_params), for the metadata.
    """
    grader_metadata = {
        "version": grader.version,
        # The number of workers changes no verdict, so it changes no file either.
        "verify": grader.limits.model_dump(mode="json", exclude={"workers"}),
    }
    joined = pa.concat_tables([table.replace_schema_metadata(None) for table in tables]).combine_chunks()
    metadata = {GRADER: grader_metadata, PROMPT: dict(prompt), REWARDS: dict(rewards)}
    table = joined.replace_schema_metadata({key: json.dumps(value, sort_keys=True) for key, value in metadata.items()})
    write_parquet(output, table, compression="zstd")


def read_completions(path: Path) -> pa.Table:
    """Read completions to grade them again.

    Raises:
        DataError: The file is missing, is no Parquet file, lacks a column or has no rows. Or rows that the grader
            graded have no reference answer; the message counts them.
    """
    table = read_parquet(path)
    missing = [column for column in GRADED if column not in table.column_names]
    if missing:
        raise DataError(f"{path}: has no column {missing[0]!r}, which grading needs")
    answers, _ = texts_of(table["answer"])
    empty = [row for row in graded_rows(table) if not answers[row].strip()]
    if empty:
        prompt = table["prompt"][empty[0]].as_py()
        raise DataError(
            f"{path}: {len(empty)} of {table.num_rows} rows have no reference answer, the first is row {empty[0]} "
            f"({prompt!r}); give them one, or take them out"
        )
    return table


def grader_settings(table: pa.Table) -> dict[str, Any] | None:
    """Return the settings of the grader of a file, from its metadata; None without metadata."""
    metadata = (table.schema.metadata or {}).get(GRADER)
    return json.loads(metadata)["verify"] if metadata else None


def prompt_settings(table: pa.Table) -> dict[str, Any]:
    """Return the prompt template of a file, from its metadata; empty without metadata."""
    return _metadata(table, PROMPT)


def reward_settings(table: pa.Table) -> dict[str, Any]:
    """Return the reward functions of a file's benchmarks; the grader graded benchmarks that are not in it."""
    return _metadata(table, REWARDS)


def graded_rows(table: pa.Table) -> list[int]:
    """Return the row indices of completions that the grader graded, and no reward function."""
    functions = reward_settings(table)
    if not functions:
        return list(range(table.num_rows))
    return [row for row, benchmark in enumerate(table["benchmark"].to_pylist()) if benchmark not in functions]


def _metadata(table: pa.Table, key: bytes) -> dict[str, Any]:
    value: dict[str, Any] = json.loads((table.schema.metadata or {}).get(key, b"{}"))
    return value


def texts_of(column: pa.ChunkedArray) -> tuple[list[str], list[int]]:
    """Return a column of text, and the row indices that are not valid UTF-8.

    Invalid bytes become U+FFFD, and null becomes empty text.
    """
    texts, invalid_rows = [], []
    for row, raw in enumerate(pc.fill_null(column.cast(pa.binary()), b"").to_pylist()):
        try:
            texts.append(raw.decode())
        except UnicodeDecodeError:
            texts.append(raw.decode(errors="replace"))
            invalid_rows.append(row)
    return texts, invalid_rows
