"""Public files that are not ours to ship: fetched from a pinned address, or taken from a folder, and checked by hash.

resources/public.json names each file's address, its sha256, and its path in such a folder.
"""

from __future__ import annotations

import os
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from urllib.error import URLError

from dopr.files import DataError, read_json, sha256, write_atomically

LISTED = Path(__file__).parents[3] / "resources" / "public.json"
CACHE = Path("results/public")
MIRROR = "DOPR_DATA"  # environment variable: the folder
SECONDS = 60


def public_file(name: str, folder: Path | None = None, cache: Path = CACHE, listed: Path = LISTED) -> Path:
    """The path of a public file whose content is what it should be.

    Args:
        folder: where it lies already, under its listed path; without one, the folder that DOPR_DATA names; without
            that, it is downloaded into `cache`, once.

    Raises:
        DataError: it is not listed, not there, cannot be downloaded, or has another hash.
    """
    files: dict[str, dict[str, str]] = read_json(listed)
    if name not in files:
        raise DataError(f"{listed}: does not list {name!r}; it lists {', '.join(files)}")
    entry, mirror = files[name], folder or os.environ.get(MIRROR)
    if mirror:
        path = Path(mirror) / entry["path"]
        if not path.is_file():
            raise DataError(f"{path}: no such file; get it from {entry['url']}, or leave the folder out")
    else:
        path = cache / name
        if not path.is_file():
            download(entry, path)
    found = sha256(path)
    if found != entry["sha256"]:
        raise DataError(f"{path}: has sha256 {found}, not {entry['sha256']}; delete it and get it from {entry['url']}")
    return path


def download(entry: Mapping[str, str], path: Path) -> None:
    """Fetch a listed file, whole or not at all.

    Raises:
        DataError: there is no answer, or it says that there is no such file.
    """
    try:
        with urllib.request.urlopen(entry["url"], timeout=SECONDS) as answer:
            content: bytes = answer.read()
    except (URLError, TimeoutError) as error:
        raise DataError(
            f"{entry['url']}: cannot be fetched ({error}); put the file into a folder as {entry['path']} and name that "
            f"folder in {MIRROR}"
        ) from None
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
