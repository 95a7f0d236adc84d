"""Rows of a data set, as numbered mappings: from Parquet, JSON, JSON lines, CSV, or a hub."""

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
    from dopr.config.data import Source

Row = dict[str, Any]
FORMATS = {".parquet": "parquet", ".jsonl": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "csv"}
DELIMITERS = ",;\t"
LONGEST_FIELD = 2**31 - 1  # characters of a field of CSV; Python's own limit is 131,072


def file_rows(
    path: Path, format: str | None = None, *, delimiter: str | None = None, field: str | None = None
) -> list[tuple[int, Row]]:
    """(number, row) of every row, numbered from 1; of JSON lines and CSV, the number of its line.

    Args:
        format: one of FORMATS' values; None goes by the name's ending.
        delimiter: what parts the fields of CSV; None is found out from the first line.
        field: of a JSON object, where its list of rows lies; None takes the only list of objects.

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
        case "json":
            return _json(path, field)
        case "csv":
            return list(_csv(path, delimiter))
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
        table = pq.read_table(path)
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file ({error}); get it again") from None
    for i, column in enumerate(table.schema):
        if pa.types.is_float32(column.type):  # by way of text, so that 0.1 does not become 0.10000000149011612
            table = table.set_column(i, column.name, table[i].cast(pa.string()).cast(pa.float64()))
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
        rows = _listed(path, json.loads(text), field)
    except json.JSONDecodeError as error:
        if error.msg == "Extra data":  # JSON lines, under this name
            return list(_json_lines(path))
        raise DataError(f"{path}: not JSON ({error}); get it again") from None
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise DataError(f"{path}: row {number}: {str(row)[:40]!r} is no object; a list of objects is expected")
    return list(enumerate(rows, 1))


def _listed(path: Path, found: Any, field: str | None) -> list[Any]:
    """The list of rows that a JSON text is, or that a field of it holds."""
    if isinstance(found, list) and field is None:
        return found
    if not isinstance(found, dict):
        raise DataError(f"{path}: is no object but a {type(found).__name__}; give rows, or leave the `field` out")
    lists = {name: value for name, value in found.items() if isinstance(value, list)}
    rows = [name for name, value in lists.items() if value and isinstance(value[0], dict)]
    if field is None and len(rows) == 1:
        return lists[rows[0]]
    if field in lists:
        return lists[field]
    raise DataError(
        f"{path}: is an object with {', '.join(found) or 'nothing'}; name what lists the rows as the source's `field`"
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
    """What parts the first line into the most fields; a comma if nothing parts it."""
    fields = {d: len(next(csv.reader(io.StringIO(text, newline=""), delimiter=d), [])) for d in DELIMITERS}
    best = [delimiter for delimiter, count in fields.items() if count == max(fields.values())]
    if len(best) > 1 and fields[best[0]] > 1:
        raise DataError(f"{path}: row 1: {' or '.join(map(repr, best))} may part it; give the source's `delimiter`")
    return best[0]
