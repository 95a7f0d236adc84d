"""The campaigns of faults in benchmarks/: their parts by hand, and a small version of each."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import clock_jumps
import full_disk
import kills
import locked_store
import mutated_inputs
import second_run
import surroundings
from mutated_inputs import damage, drop_a_part, restored
from project import ROOT
from reduced_pipeline import Pipeline, differences, error_lines, hash_files

SLEEPER = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]


# --- parts ---


def test_hashes_are_by_name_and_leave_out_what_snakemake_marks(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "a/b/file").write_bytes(b"abc")
    (tmp_path / "a/.snakemake_timestamp").touch()
    assert list(hash_files(tmp_path)) == ["a/b/file"]
    assert hash_files(tmp_path)["a/b/file"].startswith("ba7816bf8f01cfea")  # the example of FIPS 180-2


def test_differences_are_missing_added_and_other_files() -> None:
    assert differences({"same": "1", "other": "2", "added": "3"}, {"same": "1", "other": "4", "missing": "5"}) == [
        *("added", "missing", "other")
    ]


def test_half_written_files_are_found(tmp_path: Path) -> None:
    (tmp_path / "results/data").mkdir(parents=True)
    (tmp_path / "results/data/.easy.jsonl.4711.part").touch()
    (tmp_path / "results/data/easy.jsonl").touch()
    assert Pipeline(tmp_path).leftovers() == ["results/data/.easy.jsonl.4711.part"]


def test_an_error_that_is_printed_and_logged_counts_once() -> None:
    assert error_lines("error: a: b\n  error: c\nerror: a: b\nerror: d\n") == ["error: a: b", "error: d"]


@pytest.mark.parametrize(("target", "code"), [("all", -9), ("snakemake", -9)])
def test_a_kill_ends_its_target(target: str, code: int) -> None:
    process = subprocess.Popen(SLEEPER, stdout=subprocess.PIPE, start_new_session=True)
    assert process.stdout
    assert process.stdout.readline() == b"up\n"
    assert not kills.kill(process, "server", kills.signal.SIGKILL, random.Random(0))  # it has none
    assert kills.kill(process, target, kills.signal.SIGKILL, random.Random(0))
    assert process.wait(timeout=60) == code
    assert not kills.kill(process, target, kills.signal.SIGKILL, random.Random(0))


@pytest.mark.parametrize("kind", ["flip", "truncate", "empty", "drop"])
def test_damage_changes_a_file_and_it_is_put_back(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "a.json"
    path.write_text('{"a": 1, "b": 2}')
    with restored(path):
        assert damage(path, kind, random.Random(0))
        assert path.read_bytes() != b'{"a": 1, "b": 2}'
    assert path.read_text() == '{"a": 1, "b": 2}'


def test_a_part_is_a_column_or_a_key_of_a_row(tmp_path: Path) -> None:
    draw = random.Random(0)
    pq.write_table(pa.table({"a": [1], "b": [2]}), tmp_path / "a.parquet")
    (tmp_path / "a.csv").write_text("a,b\n1,2\n")
    (tmp_path / "a.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    (tmp_path / "a.bin").write_bytes(b"x")
    assert drop_a_part(tmp_path / "a.parquet", draw)
    assert drop_a_part(tmp_path / "a.csv", draw)
    assert drop_a_part(tmp_path / "a.jsonl", draw)
    assert not drop_a_part(tmp_path / "a.bin", draw)
    assert pq.read_schema(tmp_path / "a.parquet").names in (["a"], ["b"])
    assert (tmp_path / "a.csv").read_text() in ("a\n1\n", "b\n2\n")
    assert sorted(json.loads(line) == {} for line in (tmp_path / "a.jsonl").read_text().splitlines()) == [False, True]


def test_a_clock_that_jumps_shifts_what_was_written_last(tmp_path: Path) -> None:
    for number, name in enumerate(["first", "second", "third", "logs"]):
        (tmp_path / name).mkdir()
        os.utime(tmp_path / name, (1000 + number, 1000 + number))
    clock_jumps.jump(tmp_path, -500.0, share=1 / 3)
    times = {path.name: path.stat().st_mtime for path in tmp_path.iterdir()}
    assert times == {"first": 1000, "second": 1001, "third": 502, "logs": 1003}


# --- small versions ---


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.slow
@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    ("program", "arguments", "said"),
    [
        (kills, ["--kills", "3"], "3 kills, all ended with the same bytes"),
        (full_disk, ["--rounds", "1", "--limit"], "1 rounds: "),
        (second_run, ["--starts", "2"], "the same bytes after 2 starts"),
        (clock_jumps, ["--jumps", "2"], "1 hour back, "),
        (locked_store, ["--jobs", "4"], "after `dopr log`, 4 of 4 are"),
        (mutated_inputs, ["--mutations", "10"], "10 damaged files: "),
        (surroundings, ["--cases", "together"], "together: the same bytes"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_a_campaign_ends_well(program, arguments, said, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program.main([*arguments, "--folder", str(tmp_path)])
    assert said in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.usefixtures("here")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting a small disk needs root")
def test_a_full_disk_ends_well(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    full_disk.main(["--rounds", "1", "--faults", "1", "--folder", str(tmp_path)])
    assert "'read-only: one line': 2" in capsys.readouterr().out
