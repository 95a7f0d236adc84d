"""Files: whole or not at all, and damaged ones named in one line."""

from __future__ import annotations

import errno
import json
import os
from pathlib import Path

import pytest

from dopr.files import (
    DataError,
    read_json,
    read_prompts,
    remove_half_written,
    search,
    sha256,
    write_atomically,
    write_json,
    write_prompts,
    write_text,
)
from fixture_rollouts import make_prompt

needs_dev_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full on this system")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def fill_folder(path: Path) -> None:
    path.mkdir()
    (path / "new").write_text("new")


def fail_midway(path: Path) -> None:
    path.write_text("half")
    raise RuntimeError("stopped midway")


def fail_midway_in_a_folder(path: Path) -> None:
    fill_folder(path)
    raise RuntimeError("stopped midway")


def run_out_of_space(path: Path) -> None:
    path.write_text("half")
    with Path("/dev/full").open("w") as full:
        full.write("x" * 100_000)


# --- writing ---


def test_a_file_is_written_with_its_folders_and_nothing_beside_it(tmp_path):
    path = tmp_path / "a" / "b" / "file"
    write_text(path, "text")
    assert path.read_text() == "text"
    assert names(path.parent) == ["file"]


def test_a_file_is_replaced(tmp_path):
    write_text(tmp_path / "file", "old")
    write_text(tmp_path / "file", "new")
    assert (tmp_path / "file").read_text() == "new"


def test_a_folder_is_replaced_whole(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "old").write_text("old")
    write_atomically(tmp_path / "folder", fill_folder)
    assert names(tmp_path / "folder") == ["new"]
    assert names(tmp_path) == ["folder"]


@pytest.mark.parametrize("fail", [fail_midway, fail_midway_in_a_folder])
def test_a_writer_that_fails_midway_leaves_the_old_content_and_nothing_else(tmp_path, fail):
    write_text(tmp_path / "file", "old")
    with pytest.raises(RuntimeError, match="stopped midway"):
        write_atomically(tmp_path / "file", fail)
    assert (tmp_path / "file").read_text() == "old"
    assert names(tmp_path) == ["file"]


@needs_dev_full
def test_a_full_disk_is_named_with_the_path_and_leaves_nothing_behind(tmp_path):
    path = tmp_path / "results" / "ledger.parquet"
    with pytest.raises(OSError, match=f"disk full while writing {path}: free some space") as caught:
        write_atomically(path, run_out_of_space)
    assert caught.value.errno == errno.ENOSPC
    assert names(path.parent) == []


@needs_dev_full
def test_a_full_disk_leaves_the_old_content(tmp_path):
    write_text(tmp_path / "file", "old")
    with pytest.raises(OSError, match="disk full"):
        write_atomically(tmp_path / "file", run_out_of_space)
    assert (tmp_path / "file").read_text() == "old"


def test_another_failure_of_the_system_keeps_its_own_message(tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file") as caught:
        write_text(tmp_path / "file" / "below", "text")
    assert "disk full" not in str(caught.value)


# --- JSON ---


def test_json_survives_with_sorted_keys_so_that_equal_values_are_equal_bytes(tmp_path):
    write_json(tmp_path / "a.json", {"b": [1, 2.5, None], "a": {"y": 1, "x": "é"}})
    write_json(tmp_path / "b.json", {"a": {"x": "é", "y": 1}, "b": [1, 2.5, None]})
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()
    assert read_json(tmp_path / "a.json") == {"a": {"x": "é", "y": 1}, "b": [1, 2.5, None]}


@pytest.mark.parametrize("content", ["", "{", '{"a": 1', "nonsense"])
def test_damaged_json_is_named_with_what_to_do(tmp_path, content):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=r"a\.json: not valid JSON \(.+\); delete it to have it made again") as caught:
        read_json(tmp_path / "a.json")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_text_is_damaged_json(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(DataError, match=r"a\.json: not valid JSON"):
        read_json(tmp_path / "a.json")


@pytest.mark.parametrize("read", [read_json, read_prompts])
def test_a_missing_file_is_named(tmp_path, read):
    with pytest.raises(DataError, match=f"^{tmp_path}/absent: no such file$"):
        read(tmp_path / "absent")


# --- prompts ---


def test_prompts_survive(tmp_path):
    prompts = [make_prompt("a", text="1 + 1 = ?\n"), make_prompt("b", text='"é"\u2028 \\ ?\n', answer="\\frac{1}{2}")]
    write_prompts(tmp_path / "prompts.jsonl", prompts)
    assert read_prompts(tmp_path / "prompts.jsonl") == prompts


ROW = json.dumps({"id": "a", "text": "t", "answer": "1", "family": "f"})


@pytest.mark.parametrize("damaged", [ROW[:20], "{}", "[1]", "3", "", ROW[:-1] + ', "extra": 1}'])
def test_a_damaged_row_is_named_by_its_number(tmp_path, damaged):
    (tmp_path / "prompts.jsonl").write_text("\n".join([ROW, ROW, damaged, ROW]) + "\n")
    with pytest.raises(DataError, match=r"prompts\.jsonl: row 3 is not a prompt \(.+\); delete the file") as caught:
        read_prompts(tmp_path / "prompts.jsonl")
    assert "\n" not in str(caught.value)


def test_a_byte_that_is_not_utf8_is_named_by_its_row(tmp_path):
    (tmp_path / "prompts.jsonl").write_bytes(ROW.encode() + b"\n" + ROW.encode().replace(b"t", b"\xf8") + b"\n")
    with pytest.raises(DataError, match=r"prompts\.jsonl: row 2 is not a prompt \('utf-8' codec can't decode"):
        read_prompts(tmp_path / "prompts.jsonl")


def test_an_empty_file_of_prompts_is_refused(tmp_path):
    (tmp_path / "prompts.jsonl").write_text("")
    with pytest.raises(DataError, match="holds no prompts; delete it"):
        read_prompts(tmp_path / "prompts.jsonl")


# --- hashes ---


def test_the_hash_is_sha256(tmp_path):
    (tmp_path / "file").write_bytes(b"abc")  # the example of FIPS 180-2
    assert sha256(tmp_path / "file") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


# --- search ---


def test_half_written_folders_are_removed_with_half_written_files_in_them(tmp_path):
    """As a kill leaves them while the hashes of a checkpoint are written."""
    half = tmp_path / "run/.step-00000008.7.part"
    half.mkdir(parents=True)
    (half / ".hashes.json.7.part").touch()
    (tmp_path / ".job.json.7.part").touch()
    (tmp_path / "run/job.json").touch()
    remove_half_written(tmp_path)
    assert sorted(tmp_path.rglob("*")) == [tmp_path / "run", tmp_path / "run/job.json"]


def test_folders_that_are_deleted_meanwhile_are_passed_over(tmp_path, monkeypatch):
    for name in ("a/b", "a/gone", "c"):
        (tmp_path / name).mkdir(parents=True)
        (tmp_path / name / "job.json").touch()
    (tmp_path / "c/.x.part").mkdir()
    assert search(tmp_path, ".*.part") == [tmp_path / "c/.x.part"]
    assert search(tmp_path / "nowhere", "*") == []
    scandir = os.scandir

    def deleted(path):
        if str(path).endswith("gone"):
            raise FileNotFoundError(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", deleted)
    assert search(tmp_path, "job.json") == [tmp_path / "a/b/job.json", tmp_path / "c/job.json"]
