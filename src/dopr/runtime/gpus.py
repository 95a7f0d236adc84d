"""Which of the machine's GPUs a job gets.

Snakemake counts GPUs but hands none out: without more, all jobs of a workstation would use the first. So a job claims
free ones by locking a file for each, which ends with the job however that ends. Under a scheduler that names the
job's GPUs there is nothing to claim.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from dopr.config.hardware import Hardware
from dopr.errors import UserError

VISIBLE = "CUDA_VISIBLE_DEVICES"
SLOTS = Path(tempfile.gettempdir()) / f"dopr-gpus-{os.getuid()}"  # of all experiments on this machine


class NoDeviceError(UserError):
    """Fewer GPUs than are asked for; the message names both."""


def visible_gpus() -> list[str]:
    """The GPUs this process may use, by the names CUDA_VISIBLE_DEVICES takes."""
    if VISIBLE in os.environ:
        return [name for name in os.environ[VISIBLE].split(",") if name]
    import torch  # its import takes a second, and jobs without a GPU need none of it here

    return [str(i) for i in range(torch.cuda.device_count())]


@contextmanager
def use_gpus(hardware: Hardware) -> Iterator[str]:
    """Make `hardware.gpus_each` free GPUs the only ones this process sees, until the end; gives the device.

    Raises:
        NoDeviceError: fewer are free, or PyTorch cannot use them.
    """
    if hardware.gpus == 0 or "SLURM_JOB_ID" in os.environ:
        yield choose_device(hardware)
        return
    held = claim_gpus(visible_gpus(), hardware.gpus_each, hardware.share)
    os.environ[VISIBLE] = ",".join(held)
    try:
        yield choose_device(hardware)
    finally:
        for lock in held.values():
            lock.close()


def choose_device(hardware: Hardware) -> str:
    """`cpu` or `cuda`.

    Raises:
        NoDeviceError: it must be `cuda`, and PyTorch sees no GPU.
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
    """`count` GPUs with a free slot of `share`, the emptiest first, and the locks on them.

    Raises:
        NoDeviceError: fewer have one.
    """
    folder.mkdir(exist_ok=True)
    held: dict[str, IO[str]] = {}
    for slot in range(share):
        for gpu in gpus:
            lock = None if gpu in held or len(held) == count else try_lock(folder / f"{gpu}-{slot}")
            if lock:
                held[gpu] = lock
    if len(held) < count:
        raise NoDeviceError(
            f"this job needs {count} GPUs with a free one of {share} places each, and {len(held)} of the {len(gpus)} "
            f"that are visible have one; start Snakemake with --resources gpu={len(gpus) * share}"
        )
    return held


def try_lock(path: Path) -> IO[str] | None:
    """The lock on a file; None if another process has it."""
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
