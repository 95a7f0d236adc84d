"""Rows of a data set, as numbered mappings: from Parquet, JSON lines, CSV, or a hub."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from dopr.files import DataError

if TYPE_CHECKING:
    from dopr.data.section import Source

Row = dict[str, Any]
FORMATS = {".parquet": "parquet", ".jsonl": "jsonl", ".csv": "csv"}


def file_rows(path: Path, format: str | None = None) -> list[tuple[int, Row]]:
    """(number, row) of every row; of a text file, the number of its line.

    Raises:
        DataError: the file is missing, of an unknown format, not UTF-8, or damaged; names the row.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    match format or FORMATS.get(path.suffix):
        case "parquet":
            return _parquet(path)
        case "jsonl":
            return list(_json_lines(path))
        case "csv":
            return list(_csv(path))
    raise DataError(f"{path}: its name does not end in {', '.join(FORMATS)}; give the source's `format`")


def hub_rows(source: Source) -> list[tuple[int, Row]]:
    """(number, row) of every row of a data set on the hub, numbered from 1.

    Raises:
        DataError: the package `datasets` is not installed, or it cannot find or read the data set.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise DataError(f"{source.repo}: reading it needs the package datasets: pip install 'dopr[hub]'") from None
    try:
        rows = load_dataset(source.repo, source.config, split=source.split, revision=source.revision)
    except (OSError, ValueError) as error:  # no network, no such data set, split or config
        raise DataError(
            f"{source.repo}: cannot be loaded ({str(error).splitlines()[0]}); check repo, revision, config and split, "
            "or download it and give its file"
        ) from None
    return list(enumerate(rows, 1))


def _parquet(path: Path) -> list[tuple[int, Row]]:
    try:
        return list(enumerate(pq.read_table(path).to_pylist(), 1))
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file ({error}); get it again") from None


def _text(path: Path) -> str:
    content = path.read_bytes()
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        row = content.count(b"\n", 0, error.start) + 1
        raise DataError(f"{path}: row {row}: byte {content[error.start]:#x} is not UTF-8; save it as UTF-8") from None


def _json_lines(path: Path) -> Iterator[tuple[int, Row]]:
    for number, line in enumerate(_text(path).split("\n"), 1):  # not splitlines: it also splits at U+2028
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError as error:
            raise DataError(f"{path}: row {number}: not JSON ({error}); one object a line is expected") from None
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number}: {line[:40]!r} is no object; one object a line is expected")
        yield number, row


def _csv(path: Path) -> Iterator[tuple[int, Row]]:
    rows = csv.DictReader(io.StringIO(_text(path), newline=""), strict=True)
    try:
        for row in rows:
            if None in row or None in row.values():
                raise DataError(
                    f"{path}: row {rows.line_num}: has not the {len(rows.fieldnames or [])} fields of the first line; "
                    "put quotes around fields with commas"
                )
            yield rows.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}: row {rows.reader.line_num}: not CSV ({error})") from None
