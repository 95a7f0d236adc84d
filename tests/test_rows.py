"""Rows: the same ones from JSON arrays, JSON objects and CSV of any delimiter; numbers as they were written."""

from __future__ import annotations

import json
from decimal import Decimal
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dopr.data.rows import file_rows
from dopr.files import DataError

ROWS = [{"question": "1, 2; 3?", "answer": "a"}, {"question": 'a\tb\n"c"', "answer": "1,5"}]


def write(folder: Path, name: str, content: str) -> Path:
    path = folder / name
    path.write_text(content, encoding="utf8", newline="")
    return path


def refusal(path: Path, **options: str) -> str:
    with pytest.raises(DataError) as caught:
        file_rows(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


# --- JSON ---


@pytest.mark.parametrize(
    ("content", "field"),
    [
        (ROWS, None),
        ({"data": ROWS}, None),
        ({"version": 2, "tags": ["a", "b"], "data": ROWS, "empty": []}, None),
        ({"train": ROWS, "test": ROWS[:1]}, "train"),
    ],
)
def test_a_json_file_is_a_list_of_rows_or_holds_one(tmp_path: Path, content: object, field: str | None) -> None:
    path = write(tmp_path, "rows.json", json.dumps(content, indent=1))
    assert file_rows(path, field=field) == [(1, ROWS[0]), (2, ROWS[1])]


def test_json_lines_may_be_called_json(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.json", "".join(json.dumps(row) + "\n" for row in ROWS))
    assert file_rows(path) == [(1, ROWS[0]), (2, ROWS[1])]
    write(tmp_path, "rows.json", json.dumps(ROWS[0]) + "\n")
    assert "is an object with question, answer; name what lists the rows as the source's `field`, or" in refusal(path)
    assert file_rows(path, "jsonl") == [(1, ROWS[0])]


@pytest.mark.parametrize(
    ("content", "field", "message"),
    [
        ('{"train": [{}], "test": [{}]}', None, "is an object with train, test; name what lists the rows"),
        ('{"train": [{}], "test": [{}]}', "dev", "is an object with train, test; name what lists the rows"),
        ('[{"a": 1}]', "data", "is no object but a list; give rows, or leave the `field` out"),
        ('"text"', None, "is no object but a str"),
        ('[{"a": 1}, 2]', None, "row 2: '2' is no object; a list of objects is expected"),
        ('[{"a": 1},\n {"a": 2]', None, "not JSON (Expecting ',' delimiter: line 2 column 9"),
    ],
)
def test_a_json_file_without_rows_is_refused(tmp_path: Path, content: str, field: str | None, message: str) -> None:
    assert refusal(write(tmp_path, "rows.json", content), field=field).startswith(message)


# --- CSV ---


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("rows.csv", 'question,answer\n"1, 2; 3?",a\n"a\tb\n""c""","1,5"\n'),
        ("rows.csv", 'question;answer\n"1, 2; 3?";a\n"a\tb\n""c""";1,5\n'),
        ("rows.csv", '"question";"answer"\r\n"1, 2; 3?";"a"\r\n"a\tb\n""c""";"1,5"\r\n'),
        ("rows.tsv", 'question\tanswer\n1, 2; 3?\ta\n"a\tb\n""c"""\t1,5\n'),
    ],
)
def test_the_first_line_says_what_parts_the_fields(tmp_path: Path, name: str, text: str) -> None:
    assert [row for _, row in file_rows(write(tmp_path, name, text))] == ROWS


def test_a_delimiter_may_be_given(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", "in m, km;answer\n1;2\n")
    assert "row 1: ',' or ';' may part it; give the source's `delimiter`" in refusal(path)
    assert file_rows(path, delimiter=";") == [(2, {"in m, km": "1", "answer": "2"})]
    assert file_rows(write(tmp_path, "a.csv", "a|b\n1|2\n"), delimiter="|") == [(2, {"a": "1", "b": "2"})]
    assert file_rows(write(tmp_path, "a.csv", "question\n1;2\n")) == [(2, {"question": "1;2"})]
    path = write(tmp_path, "a.csv", "a;b\n1;2;3\n")
    assert refusal(path) == (
        "row 2: has not the 2 fields of the first line; put quotes around fields with ';', or give the source's "
        "`delimiter`"
    )


def test_a_long_field_is_read(tmp_path: Path) -> None:
    path = write(tmp_path, "rows.csv", f"question,answer\n{180_000 * 'a'},1\n")
    assert file_rows(path) == [(2, {"question": 180_000 * "a", "answer": "1"})]


# --- Parquet ---


def test_numbers_of_parquet_are_as_they_were_written(tmp_path: Path) -> None:
    columns = {
        "short": pa.array([0.1, None, 27], pa.float32()),
        "decimal": pa.array([Decimal("12.50"), None, Decimal("3.00")], pa.decimal128(6, 2)),
    }
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet")
    rows = [row for _, row in file_rows(tmp_path / "rows.parquet")]
    assert [row["short"] for row in rows] == [0.1, None, 27.0]
    assert [str(row["decimal"]) for row in rows] == ["12.50", "None", "3.00"]
