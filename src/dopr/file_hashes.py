"""Hashes of the files that a job wrote, in hashes.json beside them: a flipped bit in a file is not another result.

The list holds files with the same bytes in every run. A folder without a list, such as a user's model, is not checked.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dopr.files import DataError, read_json, sha256, write_json

HASHES = "hashes.json"


def write_hashes(folder: Path, names: Iterable[str] | None = None) -> None:
    """Write the hashes of files in a folder, by their names there. None is all, in its subfolders too."""
    if names is None:
        files = [path for path in folder.rglob("*") if path.is_file() and path.name != HASHES]
        names = [str(path.relative_to(folder)) for path in files]
    write_json(folder / HASHES, {name: sha256(folder / name) for name in names})


def changed_files(folder: Path) -> list[Path]:
    """Return the files in the list of a folder that are missing or not as they were written, or a damaged list."""
    hashes = _read(folder)
    if hashes is None:
        return [folder / HASHES]
    return [folder / name for name, expected in hashes.items() if not _is_as_written(folder / name, expected)]


def check_hashes(folder: Path) -> None:
    """Check all files in the list of a folder.

    Raises:
        DataError: One is missing, or not as it was written, or the list is damaged.
    """
    if changed := changed_files(folder):
        raise DataError(
            f"{changed[0]}: missing, damaged or changed since it was written (see {HASHES} in {folder}); delete that "
            "folder to have it made again"
        )


def check_hash(path: Path) -> None:
    """Check one file, if the list beside it has it.

    Raises:
        DataError: It is not as it was written, or the list is damaged.
    """
    hashes = _read(path.parent)
    changed = path.parent / HASHES if hashes is None else path
    if hashes is None or (path.name in hashes and not _is_as_written(path, hashes[path.name])):
        raise DataError(
            f"{changed}: damaged or changed since it was written (see {HASHES}); delete it to have it made again, "
            f"alone: snakemake {changed}"
        )


def _read(folder: Path) -> dict[str, str] | None:
    """Return the list of a folder, empty without one; None if it is damaged."""
    if not (folder / HASHES).is_file():
        return {}
    try:
        hashes = read_json(folder / HASHES)
    except DataError:
        return None
    return hashes if isinstance(hashes, dict) and hashes else None


def _is_as_written(path: Path, expected: str) -> bool:
    return path.is_file() and sha256(path) == expected
