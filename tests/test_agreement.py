"""Profiles compared on stored completions, from files in both forms; and the grader's benchmark at its smallest."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pandas as pd
import pytest

import grader
from dopr.cli import main
from grader import make_stream

ROWS = [
    {"reference": "0.5", "text": r"\boxed{0.50004}", "verdict": "correct"},  # within qwen_eval's tolerance alone
    {"reference": r"\frac{1}{2}", "text": r"\boxed{\frac{2}{4}}", "verdict": "correct"},  # the same value
    {"reference": "3", "text": "the answer is 3", "verdict": "wrong"},  # no box
    {"reference": "7", "text": r"\boxed{7}", "verdict": "correct"},
]


def write(path: Path, rows: list[dict]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def test_a_report_on_parquet_and_json_lines(tmp_path, capsys):
    pd.DataFrame(ROWS[:2]).to_parquet(tmp_path / "a.parquet")
    write(tmp_path / "b.jsonl", ROWS[2:])
    output = tmp_path / "differ.csv"
    main(["agreement", str(tmp_path / "a.parquet"), str(tmp_path / "b.jsonl"), "--output", str(output)])
    printed = capsys.readouterr().out
    assert "4 completions" in printed
    assert "| stored | 3 | 1 | 0 | 0 | 0 |" in printed
    assert "| dopr | 3 | 1 | 0 | 0 | 0 |" in printed
    assert "| qwen_eval | 4 | 0 | 0 | 0 | 0 |" in printed
    assert "| dopr, qwen_eval | 75.00 | 0 | 1 |" in printed
    assert len(pd.read_csv(output)) == 3  # all but the last


def test_files_of_other_codes_have_other_columns_and_lists_of_samples(tmp_path, capsys):
    rows = [
        {"gt": "18", "code": [r"so \boxed{18}", r"so \boxed{19}"], "score": [True, False]},
        {"gt": 3, "code": [r"\boxed{3}", r"\boxed{3.5}"], "score": [True, True]},  # the second is a wrong score
    ]
    names = ["--columns", "reference=gt", "text=code", "correct=score", "--profiles", "dopr"]
    main(["agreement", str(write(tmp_path / "a.jsonl", rows)), *names])
    printed = capsys.readouterr().out
    assert "4 completions" in printed
    assert "| stored, dopr | 75.00 | 1 | 0 |" in printed
    plain = str(write(tmp_path / "b.jsonl", [{"gt": "1", "code": ["it is 1", "it is 2"]}]))
    main(["agreement", plain, *names, "--extraction", "any"])
    assert "| dopr | 1 | 1 | 0 | 0 | 0 |" in capsys.readouterr().out
    (tmp_path / "c.csv").write_text("reference,text,correct\n5,\\boxed{5},True\n5,\\boxed{6},1\n")
    main(["agreement", str(tmp_path / "c.csv"), "--profiles", "dopr"])
    assert "| stored, dopr | 50.00 | 1 | 0 |" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ({"reference": "1", "text": ["1", "2"], "correct": [True]}, "row 1: has 2 texts, but 1 verdicts"),
        ({"gt": "1", "text": "x"}, r"row 1: has no reference .*; it has 'gt', 'text' \(see --columns\)"),
        ({"text": "x"}, "row 1: has no reference"),
        ({"reference": "1"}, "row 1: has no text"),
        ({"reference": "1", "text": None}, "row 1: has no text"),
    ],
)
def test_a_row_without_what_is_needed_is_named(tmp_path, row, problem):
    with pytest.raises(SystemExit, match=problem):
        main(["agreement", str(write(tmp_path / "a.jsonl", [row]))])


def test_a_file_without_completions_is_named(tmp_path):
    with pytest.raises(SystemExit, match=r"a\.jsonl: holds no completions"):
        main(["agreement", str(write(tmp_path / "a.jsonl", []))])


def test_a_completion_that_is_not_utf8_is_named(tmp_path):
    (tmp_path / "a.jsonl").write_bytes(b'{"reference": "1", "text": "\xff"}\n')
    with pytest.raises(SystemExit, match=r"row 1: byte 0xff is not UTF-8"):
        main(["agreement", str(tmp_path / "a.jsonl")])


def test_the_stream_has_groups_and_half_of_it_is_right():
    rows = [("aime24", str(i)) for i in range(100, 400)]
    stream = make_stream(rows, 200, 8, 2)
    assert len(stream) == 200 * 8 * 2
    assert all(len({reference for reference, _ in stream[i : i + 8]}) == 1 for i in range(0, len(stream), 8))
    right = sum(rf"\boxed{{{reference}}}" in text for reference, text in stream) / len(stream)
    assert 0.35 < right < 0.5
    assert stream == make_stream(rows, 200, 8, 2)


@pytest.mark.skipif("DOPR_DATA" not in os.environ, reason="DOPR_DATA names no folder with the public files")
def test_the_benchmark_prints_a_ratio(capsys):
    grader.main(["--questions", "5", "--visits", "2", "--turns", "1", "--workers", "1"])
    assert capsys.readouterr().out.splitlines()[-1].startswith("ratio: ")
