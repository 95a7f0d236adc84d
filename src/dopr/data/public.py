"""Public files that we may not distribute. They are downloaded or taken from a folder, and checked by their hash.

resources/public.json has each file's address, its sha256, and its path in such a folder.
"""

from __future__ import annotations

import os
import urllib.request
from pathlib import Path
from urllib.error import URLError

from dopr.files import DataError, read_json, sha256, write_atomically

LISTED = Path(__file__).parents[3] / "resources" / "public.json"
CACHE = Path("results/public")
MIRROR = "DOPR_DATA"  # environment variable with the folder
SECONDS = 60


def public_file(name: str, folder: Path | None = None, cache: Path = CACHE, listed: Path = LISTED) -> Path:
    """Return the path of a public file, after a check of its hash.

    Args:
        name: Its name in `listed`.
        folder: The folder that has it under its listed path. None is the folder in DOPR_DATA. Without either, the file
            is downloaded once.
        cache: The folder to download to.
        listed: The JSON file with all public files.

    Raises:
        DataError: The file is not listed, is missing, cannot be downloaded, or has another hash.
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
    """Return the path of a public file in the folder or in the cache; None if it is not on this machine."""
    mirror = folder or os.environ.get(MIRROR)
    path = Path(mirror) / read_json(listed)[name]["path"] if mirror else cache / name
    return path if path.is_file() else None


def fetched(url: str, digest: str, cache: Path = CACHE) -> Path:
    """Download a file into `cache` once, check its hash, and return its path.

    Raises:
        DataError: The file cannot be downloaded, or its sha256 is not `digest`.
    """
    path = cache / f"{digest[:12]}-{url.rpartition('/')[2]}"
    if not path.is_file():
        download(url, path, "get it in another way and give its `file`")
    return checked(path, digest, url)


def checked(path: Path, digest: str, url: str) -> Path:
    """Check the hash of a file and return its path.

    Raises:
        DataError: The sha256 is not `digest`.
    """
    actual = sha256(path)
    if actual != digest:
        raise DataError(f"{path}: has sha256 {actual}, not {digest}; delete it and get it from {url}")
    return path


def download(url: str, path: Path, workaround: str) -> None:
    """Download a file atomically.

    Raises:
        DataError: The download fails. The message ends with the workaround.
    """
    try:
        with urllib.request.urlopen(url, timeout=SECONDS) as response:
            content: bytes = response.read()
    except (URLError, TimeoutError) as error:
        raise DataError(f"{url}: cannot be fetched ({error}); {workaround}") from None
    write_atomically(path, lambda temporary: temporary.write_bytes(content))
