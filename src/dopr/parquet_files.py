"""Read and write Parquet files, so that a damaged one is named.

Each page of a file has a checksum, which reading compares. Without it, a flipped bit in a column of numbers is another
number.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from dopr.file_hashes import check_hash
from dopr.files import DataError, write_atomically

READ_ERRORS = (pa.ArrowException, OSError)  # of pyarrow, for a file that is damaged or no Parquet file


def write_parquet(path: Path, table: pa.Table, compression: str = "snappy") -> None:
    """Write a table atomically, with checksums. Equal tables give equal bytes."""
    write_atomically(
        path, lambda temporary: pq.write_table(table, temporary, compression=compression, write_page_checksum=True)
    )


def read_parquet(
    path: Path,
    columns: Sequence[str] | None = None,
    rows: list[tuple[str, str, Any]] | None = None,
    may_be_empty: bool = False,
) -> pa.Table:
    """Read a table, and check it against its checksums.

    Args:
        path: The file.
        columns: The columns to read, all of which must be there. None is all that there are.
        rows: A filter of pyarrow, so that other rows are not read.
        may_be_empty: Whether the file may have no rows.

    Raises:
        DataError: The file is missing, damaged or empty, or lacks a column.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the stage that makes it, or leave its run out")
    try:
        with pq.ParquetFile(path) as file:
            names, count = file.schema_arrow.names, file.metadata.num_rows
        check_columns(path, names, columns or (), count or may_be_empty)
        wanted = list(columns) if columns is not None else None
        # No partitioning: a folder may be named a=b.
        table = pq.read_table(path, columns=wanted, filters=rows, partitioning=None, page_checksum_verification=True)
    except READ_ERRORS as error:
        reason = " ".join(str(error).split())
        raise DataError(f"{path}: not a Parquet file ({reason}); delete it to have it made again") from None
    check_hash(path)
    return table


def check_columns(path: Path, columns: Sequence[str], required: Sequence[str], rows: int | bool) -> None:
    """Check what a table must have.

    Raises:
        DataError: A required column is missing, or there are no rows.
    """
    missing = [column for column in required if column not in columns]
    if missing:
        raise DataError(f"{path}: has no column {missing[0]!r}; delete it to have it made again")
    if not rows:
        raise DataError(f"{path}: holds no rows; delete it to have it made again")
