"""Locks of files, which the operating system releases when the process ends."""

from __future__ import annotations

import errno
import fcntl
import os
import sys
from pathlib import Path

# What file systems answer that have no locks: some network file systems.
NO_LOCKS = {errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL, errno.ENOLCK}


def try_flock(descriptor: int, path: Path) -> bool:
    """Lock an open file, or return False if another process holds the lock.

    A file system without locks costs a warning, which names `path`. The file then counts as locked.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in NO_LOCKS:
            raise
        print(
            f"warning: {path}: this file system has no locks ({error.strerror}): see to it that no other process "
            "uses this folder, or work on another disk",
            file=sys.stderr,
        )
    return True


def is_file_at(descriptor: int, path: Path) -> bool:
    """Return whether a path still leads to an open file, and not to nothing or to a file made anew under its name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
