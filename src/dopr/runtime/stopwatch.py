"""Measured seconds, kept apart from every result: they alone differ from one run to the next."""

from __future__ import annotations

import csv
import time
from pathlib import Path
from typing import Any

from dopr.files import write_atomically


class Stopwatch:
    """Seconds of processor time (of this process), of wall time and of GPUs, summed over the laps of all attempts.

    A GPU counts while it is held, busy or not, as whoever pays for it counts.
    """

    def __init__(self, gpus: float = 0.0) -> None:
        self.gpus = gpus
        self.laps: list[tuple[int, float, float, float]] = []
        self._cpu, self._wall = time.process_time(), time.perf_counter()

    def lap(self, step: int) -> None:
        """Note that `step` steps are done."""
        cpu, wall = time.process_time(), time.perf_counter()
        before = self.laps[-1] if self.laps else (0, 0.0, 0.0, 0.0)
        passed = wall - self._wall
        spent = (cpu - self._cpu, passed, passed * self.gpus)
        self.laps.append((step, before[1] + spent[0], before[2] + spent[1], before[3] + spent[2]))
        self._cpu, self._wall = cpu, wall

    def seconds_left(self, steps: int) -> float:
        """Wall seconds to `steps` steps at the pace so far."""
        done, _, wall, _ = self.laps[-1]
        return wall / done * (steps - done)

    def write(self, path: Path) -> None:
        """One row a lap: step, cpu_seconds, wall_seconds, gpu_seconds."""
        write_atomically(path, self._write_rows)

    def _write_rows(self, path: Path) -> None:
        with path.open("w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["step", "cpu_seconds", "wall_seconds", "gpu_seconds"])
            rows.writerows([step, *(f"{seconds:.4f}" for seconds in spent)] for step, *spent in self.laps)

    def state_dict(self) -> dict[str, Any]:
        """The laps so far."""
        return {"laps": self.laps}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Count on from the laps of an earlier attempt."""
        self.laps = [tuple(lap) for lap in state["laps"]]
        self._cpu, self._wall = time.process_time(), time.perf_counter()
