"""Read and write files, so that a partly written file is never read."""

from __future__ import annotations

import errno
import fnmatch
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from dopr.errors import UserError
from dopr.records import Prompt


class DataError(UserError):
    """A file that is missing, damaged, or not what it should be; the message is one line for the user."""


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a temporary file or folder, then rename it to `path`. An existing folder is deleted first.

    Raises:
        OSError: If writing fails; the message names the path. The temporary file is deleted.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(temporary)
        if path.is_dir():
            shutil.rmtree(path)
        temporary.replace(path)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OSError(error.errno, f"disk full while writing {path}: free some space and run again") from error
        if error.filename is None:  # as for a file that is larger than a limit
            raise OSError(error.errno, f"{error.strerror or error} while writing {path}") from error
        raise
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary)
        temporary.unlink(missing_ok=True)


def write_text(path: Path, text: str) -> None:
    """Write a text file atomically, in UTF-8 whatever the locale."""
    write_atomically(path, lambda temporary: temporary.write_text(text, encoding="utf-8"))


def write_json(path: Path, value: Any) -> None:
    """Write JSON with sorted keys, atomically."""
    write_text(path, json.dumps(value, indent=1, sort_keys=True) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        DataError: If the file is missing or is not JSON.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DataError(f"{path}: no such file") from None
    except ValueError as error:
        raise DataError(f"{path}: not valid JSON ({error}); delete it to have it made again") from None


def write_prompts(path: Path, prompts: Iterable[Prompt]) -> None:
    """Write prompts as JSON lines, atomically."""
    write_text(path, "".join(json.dumps(prompt.row()) + "\n" for prompt in prompts))


def read_prompts(path: Path) -> list[Prompt]:
    """Read prompts from JSON lines.

    Raises:
        DataError: If the file is missing or empty, or a row is damaged; the message names the row.
    """
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    prompts = []
    for number, line in enumerate(path.read_bytes().splitlines(), 1):
        try:
            prompts.append(Prompt(**json.loads(line)))
        except (ValueError, TypeError) as error:
            raise DataError(
                f"{path}: row {number} is not a prompt ({error}); delete the file to have it made again, alone: "
                f"snakemake {path}"
            ) from None
    if not prompts:
        raise DataError(
            f"{path}: holds no prompts; delete it to have it made again, or see data.validation in docs/data.md"
        )
    return prompts


def search(folder: Path, pattern: str) -> list[Path]:
    """Return all below a folder whose names match a pattern, sorted.

    Path.rglob fails if another process deletes a folder that it is about to list, such as an old checkpoint.
    """
    found = []
    for parent, folders, files in os.walk(folder):
        found += [Path(parent, name) for name in fnmatch.filter([*folders, *files], pattern)]
    return sorted(found)


def remove_half_written(folder: Path) -> None:
    """Delete what writes that were killed left below a folder. A half-written folder may hold half-written files."""
    for half in search(folder, ".*.part"):
        if half.is_dir():
            shutil.rmtree(half)
        half.unlink(missing_ok=True)


def sha256(path: Path) -> str:
    """Return the SHA-256 hash of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest(hashes: Mapping[str, str]) -> str:
    """Return one hash of several named hashes, whatever their order; 16 hex digits."""
    text = "".join(f"{name}\0{value}\n" for name, value in sorted(hashes.items()))
    return hashlib.sha256(text.encode()).hexdigest()[:16]
