"""Parquet files: a damaged one is named, and none is taken for whole."""

from __future__ import annotations

import random
from pathlib import Path

import pyarrow as pa
import pytest

from dopr.files import DataError
from dopr.parquet_files import read_parquet, write_parquet

TABLE = pa.table({"step": list(range(500)), "reward": [i % 7 / 7 for i in range(500)], "prompt": ["p"] * 500})


@pytest.fixture
def path(tmp_path: Path) -> Path:
    write_parquet(tmp_path / "a=b/ledger.parquet", TABLE)  # a folder that pyarrow would read as a partition
    return tmp_path / "a=b/ledger.parquet"


def test_a_table_comes_back_with_the_columns_and_rows_that_are_asked_for(path: Path) -> None:
    assert read_parquet(path) == TABLE
    assert read_parquet(path, ["reward"], [("step", "=", 9)]).to_pydict() == {"reward": [2 / 7]}


def test_flipped_bits_are_named_or_do_not_matter(path: Path) -> None:
    """Those of the pages are named; those of the rest, a few bytes, may be what nothing reads."""
    whole, messages, draw = path.read_bytes(), [], random.Random(0)
    bits = [draw.randrange(8 * len(whole)) for _ in range(400)]
    for bit in bits:
        content = bytearray(whole)
        content[bit // 8] ^= 1 << bit % 8
        path.write_bytes(content)
        try:
            assert read_parquet(path, ["step", "reward", "prompt"]).to_pydict() == TABLE.to_pydict()
        except DataError as error:
            messages.append(str(error))
    assert len(messages) > len(bits) / 2
    assert all(message.startswith(f"{path}: ") and "\n" not in message for message in messages)


def test_every_truncated_file_is_named(path: Path) -> None:
    whole = path.read_bytes()
    for size in range(0, len(whole), 97):
        path.write_bytes(whole[:size])
        with pytest.raises(DataError, match=r"ledger\.parquet: not a Parquet file \(.*delete it"):
            read_parquet(path)


def test_what_is_not_there_is_named(path: Path) -> None:
    with pytest.raises(DataError, match=r"ledger\.parquet: has no column 'tokens'; delete it"):
        read_parquet(path, ["step", "tokens"])
    with pytest.raises(DataError, match=r"other\.parquet: no such file"):
        read_parquet(path.with_name("other.parquet"))
    write_parquet(path, TABLE.slice(0, 0))
    with pytest.raises(DataError, match=r"ledger\.parquet: holds no rows"):
        read_parquet(path)
    assert read_parquet(path, may_be_empty=True).num_rows == 0
