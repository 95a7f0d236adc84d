"""Assign the GPUs of this machine to jobs.

Snakemake counts GPUs but does not assign them, so all jobs of a workstation would use the first one. A job therefore
claims free GPUs by locking a file for each, and waits while there is none. The operating system releases the locks when
the job ends, even if it is killed. Slurm assigns GPUs itself, so a job that has what Slurm gave claims none. Jobs that
share a larger allocation do, with locks of that allocation.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from typing import IO

from dopr.config.hardware import Hardware
from dopr.errors import UserError
from dopr.runtime.file_locks import try_flock

VISIBLE = "CUDA_VISIBLE_DEVICES"
ALLOCATION = os.environ.get("SLURM_JOB_ID", "")
SLOTS = Path(tempfile.gettempdir()) / f"dopr-gpus-{os.getuid()}{ALLOCATION}"  # shared by all experiments of this user
WAIT_SECONDS = 1.0  # between two looks for a free GPU


class NoDeviceError(UserError):
    """Fewer GPUs are available than the job needs."""


def listed_gpus() -> list[str]:
    """Return the GPUs in CUDA_VISIBLE_DEVICES, else those that NVIDIA's driver lists; this does not import PyTorch."""
    if VISIBLE in os.environ:
        names = [name.strip() for name in os.environ[VISIBLE].split(",")]
        return list(takewhile(lambda name: name and not name.startswith("-"), names))  # as CUDA reads it
    try:
        listing = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False, timeout=60)
    except (OSError, subprocess.TimeoutExpired):
        return []
    return in_listing(listing.stdout)


def in_listing(text: str) -> list[str]:
    """Return the numbers of the GPUs in what `nvidia-smi -L` prints: a line for each, with lines for its MIG parts."""
    return re.findall(r"^GPU (\d+):", text, re.MULTILINE)


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use."""
    if gpus := listed_gpus():
        return gpus
    import torch  # imported here because it takes a second, and jobs without a GPU do not need it

    return [str(i) for i in range(torch.cuda.device_count())]


@contextmanager
def use_gpus(hardware: Hardware) -> Iterator[str]:
    """Claim `hardware.gpus_each` GPUs, make them the only visible ones, and yield the device: `cpu` or `cuda`.

    Wait while fewer are free. Processes that train together do not wait: each could hold what another one waits for.

    Raises:
        NoDeviceError: If there are too few, or PyTorch cannot use them.
    """
    gpus = visible_gpus() if hardware.gpus else []
    assigned = "SLURM_JOB_ID" in os.environ and len(gpus) <= hardware.gpus  # to this job alone
    if not gpus or assigned:
        yield choose_device(hardware)
        return
    locks = claim_gpus(gpus, hardware.gpus_each, hardware.share, wait=hardware.processes == 1)
    os.environ[VISIBLE] = ",".join(locks)
    try:
        yield choose_device(hardware)
    finally:
        for lock in locks.values():
            lock.close()


def choose_device(hardware: Hardware) -> str:
    """Return `cpu` or `cuda`, as `hardware` asks.

    Raises:
        NoDeviceError: If `cuda` is required and PyTorch sees no GPU.
    """
    if hardware.gpus == 0 or hardware.device == "cpu":
        return "cpu"
    import torch

    if torch.cuda.is_available():
        return "cuda"
    if hardware.device == "auto":
        return "cpu"
    raise NoDeviceError(
        f"hardware.device: cuda, and PyTorch {torch.__version__} sees no GPU ({VISIBLE}="
        f"{os.environ.get(VISIBLE, '')}); install a build for your driver, or set hardware.device to auto"
    )


def claim_gpus(
    gpus: Sequence[str], count: int, share: int, folder: Path = SLOTS, *, wait: bool = False
) -> dict[str, IO[str]]:
    """Claim a free slot on each of `count` GPUs, those with the most free slots first.

    Args:
        gpus: The GPUs to choose from.
        count: GPUs to claim.
        share: Slots of each GPU: the jobs that may use it at a time.
        folder: Where the lock files are.
        wait: Wait while fewer GPUs have a free slot.

    Returns:
        GPU -> the open lock file; closing it frees the slot.

    Raises:
        NoDeviceError: If there are fewer GPUs, or fewer have a free slot and `wait` is false.
    """
    folder.mkdir(exist_ok=True)
    locks = lock_slots(gpus, count, share, folder)
    if len(locks) < count <= len(gpus) and wait:
        print(
            f"waiting for {count} of {len(gpus)} GPUs ({', '.join(gpus)}): jobs use them", file=sys.stderr, flush=True
        )
    while len(locks) < count:
        if not wait or count > len(gpus):
            raise NoDeviceError(
                f"this job needs {count} GPUs with a free slot, and {len(locks)} of the {len(gpus)} visible GPUs have "
                f"one ({share} jobs may share a GPU); start Snakemake with --resources gpu={len(gpus) * share}, or "
                f"change hardware.gpus or {VISIBLE}"
            )
        for lock in locks.values():
            lock.close()
        time.sleep(WAIT_SECONDS)
        locks = lock_slots(gpus, count, share, folder)
    return locks


def lock_slots(gpus: Sequence[str], count: int, share: int, folder: Path) -> dict[str, IO[str]]:
    """Lock a free slot on each of at most `count` GPUs."""
    locks: dict[str, IO[str]] = {}
    for slot in range(share):
        for gpu in gpus:
            lock = None if gpu in locks or len(locks) == count else try_lock(folder / f"{gpu}-{slot}")
            if lock:
                locks[gpu] = lock
    return locks


def try_lock(path: Path) -> IO[str] | None:
    """Lock a file and return it, or return None if another process holds the lock."""
    lock = path.open("w")
    if try_flock(lock.fileno(), path):
        return lock
    lock.close()
    return None
