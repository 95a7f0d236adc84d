"""Measured seconds. They are written to a file of their own, because they differ when a run is repeated."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from dopr.files import write_atomically


class Stopwatch:
    """CPU seconds of this process, wall seconds and GPU seconds after each step, added up over all attempts of a run.

    A GPU counts while the job holds it, busy or idle, because it is billed while it is held.

    Args:
        gpus: The GPUs that the job holds; a fraction if it shares one.
    """

    def __init__(self, gpus: float = 0.0) -> None:
        self.gpus = gpus
        self.laps: list[tuple[int, float, float, float]] = []  # step, then CPU, wall and GPU seconds up to it
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def lap(self, step: int) -> None:
        """Record the seconds after `step` steps."""
        cpu, wall = time.process_time(), time.perf_counter()
        before = self.laps[-1] if self.laps else (0, 0.0, 0.0, 0.0)
        elapsed = wall - self._wall
        spent = (cpu - self._cpu, elapsed, elapsed * self.gpus)
        self.laps.append((step, before[1] + spent[0], before[2] + spent[1], before[3] + spent[2]))
        self._cpu, self._wall = cpu, wall

    def seconds_left(self, steps: int) -> float:
        """Return the wall seconds until `steps` steps are done, at the average pace so far."""
        done, _, wall, _ = self.laps[-1]
        return wall / done * (steps - done)

    def write(self, path: Path) -> None:
        """Write a CSV with one row per lap: step, cpu_seconds, wall_seconds, gpu_seconds."""
        write_atomically(path, self._write_rows)

    def _write_rows(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["step", "cpu_seconds", "wall_seconds", "gpu_seconds"])
            rows.writerows([step, *(f"{seconds:.4f}" for seconds in spent)] for step, *spent in self.laps)

    def state_dict(self) -> dict[str, Any]:
        """Return the laps so far."""
        return {"laps": self.laps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from the laps of an earlier attempt; the time in between does not count."""
        self.laps = [tuple(lap) for lap in state["laps"]]
        self._cpu, self._wall = time.process_time(), time.perf_counter()
