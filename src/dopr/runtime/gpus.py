"""Assign the GPUs of this machine to jobs.

Snakemake counts GPUs but does not assign them, so all jobs of a workstation would use the first one. A job therefore
claims free GPUs by locking a file for each. The operating system releases the locks when the job ends, even if it is
killed. Slurm assigns GPUs itself, so a job under Slurm claims none.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dopr.config.hardware import Hardware
from dopr.errors import UserError
from dopr.runtime.file_locks import try_flock

VISIBLE = "CUDA_VISIBLE_DEVICES"
SLOTS = Path(tempfile.gettempdir()) / f"dopr-gpus-{os.getuid()}"  # shared by all experiments of this user


class NoDeviceError(UserError):
    """Fewer GPUs are available than the job needs."""


def visible_gpus() -> list[str]:
    """Return the GPUs that this process may use, as named in CUDA_VISIBLE_DEVICES."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    import torch  # imported here because it takes a second, and jobs without a GPU do not need it

    return [str(i) for i in range(torch.cuda.device_count())]


@contextmanager
def use_gpus(hardware: Hardware) -> Iterator[str]:
    """Claim `hardware.gpus_each` GPUs, make them the only visible ones, and yield the device: `cpu` or `cuda`.

    Raises:
        NoDeviceError: If fewer are free, or PyTorch cannot use them.
    """
    if hardware.gpus == 0 or "SLURM_JOB_ID" in os.environ:
        yield choose_device(hardware)
        return
    locks = claim_gpus(visible_gpus(), hardware.gpus_each, hardware.share)
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


def claim_gpus(gpus: Sequence[str], count: int, share: int, folder: Path = SLOTS) -> dict[str, IO[str]]:
    """Claim a free slot on each of `count` GPUs, those with the most free slots first.

    Args:
        gpus: The GPUs to choose from.
        count: GPUs to claim.
        share: Slots of each GPU: the jobs that may use it at a time.
        folder: Where the lock files are.

    Returns:
        GPU -> the open lock file; closing it frees the slot.

    Raises:
        NoDeviceError: If fewer GPUs have a free slot.
    """
    folder.mkdir(exist_ok=True)
    locks: dict[str, IO[str]] = {}
    for slot in range(share):
        for gpu in gpus:
            lock = None if gpu in locks or len(locks) == count else try_lock(folder / f"{gpu}-{slot}")
            if lock:
                locks[gpu] = lock
    if len(locks) < count:
        raise NoDeviceError(
            f"this job needs {count} GPUs with a free slot, and {len(locks)} of the {len(gpus)} visible GPUs have one "
            f"({share} jobs may share a GPU); start Snakemake with --resources gpu={len(gpus) * share}"
        )
    return locks


def try_lock(path: Path) -> IO[str] | None:
    """Lock a file and return it, or return None if another process holds the lock."""
    lock = path.open("w")
    if try_flock(lock.fileno(), path):
        return lock
    lock.close()
    return None
