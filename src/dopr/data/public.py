"""Public files that are not ours to ship: fetched from a pinned address, or taken from a folder, and checked by hash.

resources/public.json names each file's address, its sha256, and its path in such a folder.
"""

from __future__ import annotations

import os
import urllib.request
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
    path = Path(mirror) / entry["path"] if mirror else cache / name
    if not path.is_file():
        if mirror:
            raise DataError(f"{path}: no such file; get it from {entry['url']}, or leave the folder out")
        download(entry["url"], path, f"put the file into a folder as {entry['path']} and name that folder in {MIRROR}")
    return checked(path, entry["sha256"], entry["url"])


def at_hand(name: str, folder: Path | None = None, cache: Path = CACHE, listed: Path = LISTED) -> Path | None:
    """Where a public file lies already, in the folder or in the cache; None if it would have to be downloaded."""
    mirror = folder or os.environ.get(MIRROR)
    path = Path(mirror) / read_json(listed)[name]["path"] if mirror else cache / name
    return path if path.is_file() else None


def fetched(url: str, digest: str, cache: Path = CACHE) -> Path:
    """The path of a file that is downloaded into `cache`, once, whose content is what it should be.

    Raises:
        DataError: it cannot be downloaded, or has another hash than `digest`.
    """
    path = cache / f"{digest[:12]}-{url.rpartition('/')[2]}"
    if not path.is_file():
        download(url, path, "get it in another way and give its `file`")
    return checked(path, digest, url)


def checked(path: Path, digest: str, url: str) -> Path:
    """The path of a file whose content has a hash.

    Raises:
        DataError: it has another one.
    """
    found = sha256(path)
    if found != digest:
        raise DataError(f"{path}: has sha256 {found}, not {digest}; delete it and get it from {url}")
    return path


def download(url: str, path: Path, otherwise: str) -> None:
    """Fetch a file, whole or not at all.

    Raises:
        DataError: there is no answer, or it says that there is no such file; ends with what to do otherwise.
    """
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as answer:
            content: bytes = answer.read()
    except (URLError, TimeoutError) as error:
        raise DataError(f"{url}: cannot be fetched ({error}); {otherwise}") from None
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
