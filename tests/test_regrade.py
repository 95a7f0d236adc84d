"""Stored completions graded again: the same file from the same grader, and bad input named and counted."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dopr.cli import main
from dopr.evaluation.completions import (
    GRADER,
    prompt_settings,
    read_completions,
    reward_settings,
    texts_of,
    write_completions,
)
from dopr.files import DataError

PROMPT = {"template": "plain"}
COLUMNS = {
    "prompt": ["a", "b", "c", "d"],
    "answer": ["0.5", "3", "7", "2"],
    "verdict": ["wrong", "correct", "unparsed", "wrong"],
    "text": [r"\boxed{0.50004}", r"\boxed{3.0}", "", r"\boxed{4}"],
}


@pytest.fixture
def stored(tmp_path: Path, grader) -> Path:
    path = tmp_path / "completions.parquet"
    write_completions([pa.table(COLUMNS)], grader, path, PROMPT, {})
    return path


def test_the_same_grader_gives_the_same_file(stored, capsys):
    before = stored.read_bytes()
    main(["regrade", str(stored)])
    assert stored.read_bytes() == before
    assert "4 completions, 0 verdicts changed; 1 empty, 0 not UTF-8" in capsys.readouterr().out


def test_another_profile_changes_verdicts_which_are_counted_and_the_first_brings_them_back(stored, tmp_path, capsys):
    before = stored.read_bytes()
    main(["regrade", str(stored), "--profile", "qwen_eval"])
    assert "    wrong -> correct: 1\n" in capsys.readouterr().out
    assert pq.read_table(stored)["verdict"].to_pylist() == ["correct", "correct", "unparsed", "wrong"]
    assert prompt_settings(pq.read_table(stored)) == PROMPT
    assert b"qwen_eval" in pq.read_schema(stored).metadata[GRADER]
    main(["regrade", str(stored), "--profile", "dopr"])
    assert stored.read_bytes() == before


def test_answers_can_be_looked_for_elsewhere(tmp_path, grader, capsys):
    path = tmp_path / "completions.parquet"
    table = pa.table(COLUMNS | {"text": ["so 0.5", "the answer is 3", "", "4"]})
    write_completions([table], grader, path, PROMPT, {})
    main(["regrade", str(path), "--extraction", "any"])
    assert pq.read_table(path)["verdict"].to_pylist() == ["correct", "correct", "unparsed", "wrong"]
    with pytest.raises(SystemExit, match=r"verify.extraction: 'nowhere' is refused"):
        main(["regrade", str(path), "--extraction", "nowhere"])


def test_files_can_be_left_alone(stored, tmp_path):
    before = stored.read_bytes()
    main(["regrade", str(stored), "--profile", "qwen_eval", "--output", str(tmp_path / "new")])
    assert stored.read_bytes() == before
    (written,) = (tmp_path / "new").rglob("*.parquet")
    assert pq.read_table(written)["verdict"][0].as_py() == "correct"


def test_what_a_reward_function_judged_is_left_as_it_is_and_counted(tmp_path, grader, capsys):
    """Rows 0 and 3 are of a benchmark with a function; 1 and 2 are graded again, and their rewards follow."""
    columns = {
        **COLUMNS,
        "answer": ["", "3", "7", ""],
        "verdict": ["wrong", "wrong", "correct", "correct"],
        "reward": [0.25, 0.0, 1.0, 1.0],
        "benchmark": ["mine", "theirs", "theirs", "mine"],
    }
    path, functions = tmp_path / "mixed.parquet", {"mine": {"function": "my.py:score", "sha256": "0a"}}
    write_completions([pa.table(columns)], grader, path, PROMPT, functions)
    main(["regrade", str(path)])
    assert "2 verdicts changed; 1 empty, 0 not UTF-8; 2 judged by a reward function, left" in capsys.readouterr().out
    table = pq.read_table(path)
    assert table["verdict"].to_pylist() == ["wrong", "correct", "unparsed", "correct"]
    assert table["reward"].to_pylist() == [0.25, 1.0, 0.0, 1.0]
    assert reward_settings(table) == functions


def test_what_is_not_utf8_is_counted_and_graded_by_what_can_be_read(tmp_path, grader, capsys):
    texts = pa.array([rb"\boxed{3} \xff".replace(rb"\xff", b"\xff"), b"\xff", None, b""], pa.binary())
    table = pa.table({**COLUMNS, "answer": ["3"] * 4}).set_column(3, "text", texts)
    path = tmp_path / "damaged.parquet"
    write_completions([table], grader, path, PROMPT, {})
    assert texts_of(pq.read_table(path)["text"])[1] == [0, 1]
    main(["regrade", str(path)])
    printed = capsys.readouterr().out
    assert "2 empty, 2 not UTF-8, the first in row 0 ('a')" in printed
    assert pq.read_table(path)["verdict"][0].as_py() == "correct"


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"answer": ["1", "", " ", "2"]}, r"2 of 4 rows have no reference answer, the first is row 1 \('b'\)"),
        ({"text": None}, "has no column 'text', which grading needs"),
    ],
)
def test_what_cannot_be_graded_is_named(tmp_path, grader, change, problem):
    columns = {name: values for name, values in (COLUMNS | change).items() if values is not None}
    write_completions([pa.table(columns)], grader, tmp_path / "bad.parquet", PROMPT, {})
    with pytest.raises(DataError, match=problem):
        read_completions(tmp_path / "bad.parquet")


def test_files_that_are_none(tmp_path):
    with pytest.raises(DataError, match="no such file"):
        read_completions(tmp_path / "absent.parquet")
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(DataError, match="not a Parquet file"):
        read_completions(tmp_path / "text.parquet")


def test_a_profile_that_does_not_exist_is_refused(stored):
    with pytest.raises(SystemExit, match=r"verify.profile: 'nobody' is refused"):
        main(["regrade", str(stored), "--profile", "nobody"])
