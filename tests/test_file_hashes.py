"""Files are as they were written, or named."""

from __future__ import annotations

from pathlib import Path

import pytest

from dopr.file_hashes import HASHES, changed_files, check_hash, check_hashes, write_hashes
from dopr.files import DataError, read_json


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "sub").mkdir()
    (tmp_path / "a.txt").write_bytes(b"abc")
    (tmp_path / "sub/b.txt").write_bytes(b"other")
    return tmp_path


def flip(path: Path, bit: int) -> None:
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def test_the_list_has_the_sha256_of_every_file(folder: Path) -> None:
    write_hashes(folder)
    hashes = read_json(folder / HASHES)
    assert list(hashes) == ["a.txt", "sub/b.txt"]
    assert hashes["a.txt"].startswith("ba7816bf8f01cfea")  # the example of FIPS 180-2
    write_hashes(folder)
    assert read_json(folder / HASHES) == hashes  # it does not list itself


def test_every_flipped_bit_is_named(folder: Path) -> None:
    write_hashes(folder)
    for bit in range(24):
        flip(folder / "a.txt", bit)
        with pytest.raises(DataError, match=r"a\.txt: damaged or changed since it was written"):
            check_hash(folder / "a.txt")
        assert changed_files(folder) == [folder / "a.txt"]
        flip(folder / "a.txt", bit)
    check_hashes(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    write_hashes(folder)
    (folder / "sub/b.txt").unlink()
    with pytest.raises(DataError, match=r"sub/b\.txt: missing, damaged or changed"):
        check_hashes(folder)


@pytest.mark.parametrize("damaged", ["", "{", "[]", "{}", "3"])
def test_a_damaged_list_is_named_itself(folder: Path, damaged: str) -> None:
    (folder / HASHES).write_text(damaged)
    for check in (lambda: check_hash(folder / "a.txt"), lambda: check_hashes(folder)):
        with pytest.raises(DataError, match=r"hashes\.json: .*damaged or changed"):
            check()


def test_files_that_no_list_names_are_not_checked(folder: Path) -> None:
    check_hash(folder / "a.txt")
    check_hashes(folder)
    write_hashes(folder, ["a.txt"])
    (folder / "sub/b.txt").write_bytes(b"changed")
    check_hash(folder / "sub/b.txt")
    check_hashes(folder)
