"""What a job that samples or trains asks of its machine, and which of the machine's GPUs it gets.

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
from typing import IO, Literal

from pydantic import Field, model_validator

from dopr.errors import UserError
from dopr.section import PositiveInt, Section

VISIBLE = "CUDA_VISIBLE_DEVICES"
SLOTS = Path(tempfile.gettempdir()) / f"dopr-gpus-{os.getuid()}"  # of all experiments on this machine


class Hardware(Section):
    """What one job of profiling, training or evaluation asks for.

    gpus: 0 is the CPU. device: what the torch engine samples on and policies are trained on; auto is a GPU where there
    are gpus and PyTorch sees one. processes: that train one policy together, each with its own part of the gpus
    (dopr.distributed); evaluation has one. share: how many jobs use one GPU at a time, for runs too small to fill it.
    mem_mb: of memory. runtime: minutes. A job that is tried again asks for twice, then three times as much of the last
    two.
    """

    gpus: int = Field(default=0, ge=0)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    processes: PositiveInt = 1
    share: PositiveInt = 1
    mem_mb: PositiveInt = 2000
    runtime: PositiveInt = 60

    @model_validator(mode="after")
    def _asks_for_what_it_uses(self) -> Hardware:
        if self.device == "cuda" and self.gpus == 0:
            raise ValueError("device: cuda needs a GPU; set gpus to 1, or device to auto")
        if self.processes > 1 and self.gpus not in (0, self.processes):
            raise ValueError(f"gpus: {self.gpus} for {self.processes} processes; give each one, or none")
        if self.processes > 1 and self.share > 1:
            raise ValueError(f"share: {self.share} jobs on a GPU go with one process; set processes or share to 1")
        return self

    @property
    def gpus_each(self) -> int:
        """GPUs of one process."""
        return self.gpus // self.processes

    def held(self, device: str) -> float:
        """GPUs of a job that runs on a device; of one that several jobs share, its part."""
        return 0.0 if device == "cpu" else self.gpus / self.share

    @property
    def launcher(self) -> str:
        """What a script that trains is started with."""
        if self.processes == 1:
            return "python"
        return f"torchrun --standalone --nproc-per-node {self.processes}"

    @property
    def variant(self) -> str:
        """What ends the name of the environments in envs/ that jobs run in."""
        return "-cuda" if self.gpus else ""


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
        yield device(hardware)
        return
    held = claim(visible_gpus(), hardware.gpus_each, hardware.share)
    os.environ[VISIBLE] = ",".join(held)
    try:
        yield device(hardware)
    finally:
        for lock in held.values():
            lock.close()


def device(hardware: Hardware) -> str:
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


def claim(gpus: Sequence[str], count: int, share: int, folder: Path = SLOTS) -> dict[str, IO[str]]:
    """`count` GPUs with a free slot of `share`, the emptiest first, and the locks on them.

    Raises:
        NoDeviceError: fewer have one.
    """
    folder.mkdir(exist_ok=True)
    held: dict[str, IO[str]] = {}
    for slot in range(share):
        for gpu in gpus:
            lock = None if gpu in held or len(held) == count else take(folder / f"{gpu}-{slot}")
            if lock:
                held[gpu] = lock
    if len(held) < count:
        raise NoDeviceError(
            f"this job needs {count} GPUs with a free one of {share} places each, and {len(held)} of the {len(gpus)} "
            f"that are visible have one; start Snakemake with --resources gpu={len(gpus) * share}"
        )
    return held


def take(path: Path) -> IO[str] | None:
    """The lock on a file; None if another process has it."""
    lock = path.open("w")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        lock.close()
        return None
    return lock
