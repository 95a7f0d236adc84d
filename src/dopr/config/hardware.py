"""The resources of a job that profiles, trains or evaluates."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dopr.config.section import PositiveInt, Section


class Hardware(Section):
    """The resources that one job of profiling, training or evaluation requests.

    The second attempt of a job requests twice `mem_mb` and `runtime`, the third attempt three times.
    """

    gpus: int = Field(default=0, ge=0)
    """Number of GPUs. 0 is the CPU."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """The device of the torch engine and of training. auto is a GPU if `gpus` is not 0 and PyTorch sees one."""
    processes: PositiveInt = 1
    """Processes that train one policy together, each on its own part of the GPUs. Evaluation uses one."""
    share: PositiveInt = 1
    """Number of jobs on one GPU at a time, for runs that are too small to fill it."""
    mem_mb: PositiveInt = 2000
    """Memory in MB."""
    runtime: PositiveInt = 60
    """Time limit in minutes."""

    @model_validator(mode="after")
    def _check_gpus(self) -> Hardware:
        if self.device == "cuda" and self.gpus == 0:
            raise ValueError("device: cuda needs a GPU; set gpus to 1, or device to auto")
        if self.processes > 1 and self.gpus not in (0, self.processes):
            raise ValueError(f"gpus: {self.gpus} for {self.processes} processes; give each one, or none")
        if self.processes > 1 and self.share > 1:
            raise ValueError(f"share: {self.share} jobs on a GPU go with one process; set processes or share to 1")
        return self

    @property
    def gpus_each(self) -> int:
        """Number of GPUs of one process."""
        return self.gpus // self.processes

    def held(self, device: str) -> float:
        """Return the number of GPUs that a job on a device holds; a fraction where several jobs share one."""
        return 0.0 if device == "cpu" else self.gpus / self.share

    @property
    def launcher(self) -> str:
        """The command that starts a training script, in as many processes as train one policy.

        `--nnodes` is given because torchrun would read it from the environment of a cluster's node (PET_NNODES).
        """
        if self.processes == 1:
            return "python -m dopr.runtime.launch torch"
        return f"torchrun --standalone --nnodes 1 --nproc-per-node {self.processes} -m dopr.runtime.launch torch"

    @property
    def variant(self) -> str:
        """The suffix of the names of the environments in envs/ that jobs run in."""
        return "-cuda" if self.gpus else ""
