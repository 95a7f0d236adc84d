"""What a job that samples or trains asks of its machine."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from dopr.config.section import PositiveInt, Section


class Hardware(Section):
    """What one job of profiling, training or evaluation asks for.

    gpus: 0 is the CPU. device: what the torch engine samples on and policies are trained on; auto is a GPU where there
    are gpus and PyTorch sees one. processes: that train one policy together, each with its own part of the gpus
    (dopr.runtime.distributed); evaluation has one. share: how many jobs use one GPU at a time, for runs too small to
    fill it. mem_mb: of memory. runtime: minutes. A job that is tried again asks for twice, then three times as much of
    the last two.
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
