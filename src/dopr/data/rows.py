"""Reading the rows of a data set as numbered mappings: from Parquet, JSON, JSON lines, CSV, or the hub."""

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
from dopr.parquet_files import READ_ERRORS

if TYPE_CHECKING:
    from dopr.config.data import Source

Row = dict[str, Any]
FORMATS = {".parquet": "parquet", ".jsonl": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv"}
DELIMITERS = ",;\t"
LONGEST_FIELD = 2**31 - 1  # characters of a CSV field; Python's default limit is 131,072


def file_rows(
    path: Path, format: str | None = None, *, delimiter: str | None = None, field: str | None = None
) -> list[tuple[int, Row]]:
    """Return (number, row) of every row. Numbers begin at 1, and are line numbers for JSON lines and CSV.

    Args:
        path: The file.
        format: One of the values of FORMATS. None takes it from the file name's ending.
        delimiter: The delimiter of CSV. None takes it from the first line.
        field: The field of a JSON object that holds the list of rows. None takes its only list of objects.

    Raises:
        DataError: The file is missing, of an unknown format, not UTF-8, or damaged. The message names the row.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; give its path")
    match format or FORMATS.get(path.suffix):
        case "parquet":
            return _parquet(path)
        case "jsonl":
            return list(_json_lines(path))
        case "json":
            return _json(path, field)
        case "csv":
            return list(_csv(path, delimiter))
    raise DataError(f"{path}: its name does not end in {', '.join(FORMATS)}; give the source's `format`")


def hub_rows(source: Source) -> list[tuple[int, Row]]:
    """Return (number, row) of every row of a data set on the hub. Numbers begin at 1.

    Raises:
        DataError: The package `datasets` is not installed, or it cannot find or read the data set.
    """
    try:
        from datasets import load_dataset
    except ImportError:
        raise DataError(
            f"{source.repo}: reading it needs the package datasets: pip install --editable '.[hub]' in the clone"
        ) from None
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
        table = pq.read_table(path, partitioning=None, page_checksum_verification=True)
    except READ_ERRORS as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a Parquet file ({reason}); get it again") from None
    for index, column in enumerate(table.schema):
        if pa.types.is_float32(column.type):  # cast through text, so that 0.1 does not become 0.10000000149011612
            table = table.set_column(index, column.name, table[index].cast(pa.string()).cast(pa.float64()))
    return list(enumerate(table.to_pylist(), 1))


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


def _json(path: Path, field: str | None) -> list[tuple[int, Row]]:
    text = _text(path)
    try:
        rows = _row_list(path, json.loads(text), field)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSON lines in a file named .json
            return list(_json_lines(path))
        raise DataError(f"{path}: not JSON ({error}); get it again") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number}: {str(row)[:40]!r} is no object; a list of objects is expected")
    return list(enumerate(rows, 1))


def _row_list(path: Path, content: Any, field: str | None) -> list[Any]:
    """Return the list of rows that JSON content is, or that a field of it holds."""
    if isinstance(content, list) and field is None:
        return content
    if not isinstance(content, dict):
        raise DataError(f"{path}: is no object but a {type(content).__name__}; give rows, or leave the `field` out")
    lists = {name: value for name, value in content.items() if isinstance(value, list)}
    lists_of_objects = [name for name, value in lists.items() if value and isinstance(value[0], dict)]
    if field is None and len(lists_of_objects) == 1:
        return lists[lists_of_objects[0]]
    if field in lists:
        return lists[field]
    raise DataError(
        f"{path}: is an object with {', '.join(content) or 'nothing'}; name what lists the rows as the source's `field`"
        ", or give its `format`, jsonl, if it is a row itself"
    )


def _csv(path: Path, delimiter: str | None) -> Iterator[tuple[int, Row]]:
    text = _text(path)
    csv.field_size_limit(LONGEST_FIELD)
    delimiter = delimiter or _delimiter(path, text)
    rows = csv.DictReader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for row in rows:
            if None in row or None in row.values():
                raise DataError(
                    f"{path}: row {rows.line_num}: has not the {len(rows.fieldnames or [])} fields of the first line; "
                    f"put quotes around fields with {delimiter!r}, or give the source's `delimiter`"
                )
            yield rows.line_num, row
    except csv.Error as error:
        raise DataError(f"{path}: row {rows.reader.line_num}: not CSV ({error})") from None


def _delimiter(path: Path, text: str) -> str:
    """Return the delimiter that splits the first line into the most fields; a comma if none splits it."""
    counts = {d: len(next(csv.reader(io.StringIO(text, newline=""), delimiter=d), [])) for d in DELIMITERS}
    best = [delimiter for delimiter, count in counts.items() if count == max(counts.values())]
    if len(best) > 1 and counts[best[0]] > 1:
        raise DataError(f"{path}: row 1: {' or '.join(map(repr, best))} may part it; give the source's `delimiter`")
    return best[0]
