"""Files of graded completions: compressed Parquet that holds all that grading needs and says which grader did it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from dopr.files import DataError, write_atomically
from dopr.grading.grader import Grader

GRADER = b"dopr.grader"  # key of the file's metadata: JSON of the grader's version and settings
PROMPT = b"dopr.prompt"  # and JSON of the template: its name, its hash, and what was changed in it
REWARDS = b"dopr.rewards"  # and JSON of the benchmarks that reward functions judged: {name: {function, sha256}}
GRADED = ("prompt", "answer", "verdict", "text")  # the columns that grading reads and writes


def write_completions(
    tables: Sequence[pa.Table],
    grader: Grader,
    output: Path,
    prompt: Mapping[str, Any],
    rewards: Mapping[str, Any],
) -> None:
    """Join tables into one compressed file that names its grader; equal content gives equal bytes.

    prompt, rewards: how prompts were written, and reward functions by benchmark (dopr.workflow.rule_params), kept
    beside the grader.
    """
    described = {
        "version": grader.version,
        # The number of workers changes no verdict, so it changes no file either.
        "verify": grader.limits.model_dump(mode="json", exclude={"workers"}),
    }
    plain = pa.concat_tables([table.replace_schema_metadata(None) for table in tables]).combine_chunks()
    written = {GRADER: described, PROMPT: dict(prompt), REWARDS: dict(rewards)}
    table = plain.replace_schema_metadata({key: json.dumps(value, sort_keys=True) for key, value in written.items()})
    write_atomically(output, lambda path: pq.write_table(table, path, compression="zstd"))


def read_completions(path: Path) -> pa.Table:
    """The completions of a file, to be graded again.

    Raises:
        DataError: it is missing, no Parquet file, lacks a column or has no rows; or rows have no reference answer,
            which are counted, where the grader judged them.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    try:
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file ({error})") from None
    missing = [column for column in GRADED if column not in table.column_names]
    if missing:
        raise DataError(f"{path}: has no column {missing[0]!r}, which grading needs")
    if not table.num_rows:
        raise DataError(f"{path}: holds no completions")
    answers, _ = texts_of(table["answer"])
    empty = [i for i in graded_rows(table) if not answers[i].strip()]
    if empty:
        prompt = table["prompt"][empty[0]].as_py()
        raise DataError(
            f"{path}: {len(empty)} of {table.num_rows} rows have no reference answer, the first is row {empty[0]} "
            f"({prompt!r}); give them one, or take them out"
        )
    return table


def grader_settings(table: pa.Table) -> dict[str, Any] | None:
    """The settings of the grader that gave a file's verdicts; None if it does not say."""
    described = (table.schema.metadata or {}).get(GRADER)
    return json.loads(described)["verify"] if described else None


def prompt_settings(table: pa.Table) -> dict[str, Any]:
    """How the prompts of a file were written; empty if it does not say."""
    return _described(table, PROMPT)


def reward_settings(table: pa.Table) -> dict[str, Any]:
    """The reward functions that judged a file's benchmarks, by benchmark; empty where the grader judged all."""
    return _described(table, REWARDS)


def graded_rows(table: pa.Table) -> list[int]:
    """The places of the completions that the grader judged, and no reward function."""
    functions = reward_settings(table)
    if not functions:
        return list(range(table.num_rows))
    return [i for i, benchmark in enumerate(table["benchmark"].to_pylist()) if benchmark not in functions]


def _described(table: pa.Table, key: bytes) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((table.schema.metadata or {}).get(key, b"{}"))
    return found


def texts_of(column: pa.ChunkedArray) -> tuple[list[str], list[int]]:
    """A column of text, and the places where it is not UTF-8: there, what cannot be read is U+FFFD; null is empty."""
    texts, damaged = [], []
    for i, raw in enumerate(pc.fill_null(column.cast(pa.binary()), b"").to_pylist()):
        try:
            texts.append(raw.decode())
        except UnicodeDecodeError:
            texts.append(raw.decode(errors="replace"))
            damaged.append(i)
    return texts, damaged
