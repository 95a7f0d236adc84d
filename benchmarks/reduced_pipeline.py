"""A pipeline of half a minute in a folder of its own, for campaigns of faults: run, disturb, and compare its results.

All stages are in it, and no training step takes long. `Pipeline.hashes` leaves out what measured seconds are in.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from dopr.errors import UserError
from dopr.files import sha256
from repeat import copy_project

OVERLAY: dict[str, Any] = {
    "seeds": [0, 1],
    "seeds_per_job": 1,
    "pools": ["easy"],
    "methods": ["grpo", "dopr_profile"],
    "data": {"questions": 2, "validation_questions": 2, "pools": {"easy": {"size": 16}}},
    "checkpoint_every": 2,
    "train": {"group_size": 4},
    "recipes": {
        "grpo": {"prompts_per_step": 2, "steps": 12},
        "profile": {"prompts_per_step": 4, "steps": 12},
        "dopr_profile": {"steps": 24},
    },
    "complexity": {"pools": []},
    "published": False,
    "evaluate": {"rollouts": [16, 48, 96], "samples": 1, "pass_at": [1], "bootstrap": 20},
}
# Parts of results/ that say nothing of time: neither logs, MLflow's database and ids, nor records of this very run.
COMPARED = ("base", "base_completions", "code", "data", "evaluate", "figures", "profile", "tables", "train")
TIMED = re.compile(r"seconds|provenance\.json$|/claims_")


@dataclass
class Pipeline:
    """A copy of the project and the output of the last command.

    Attributes:
        folder: Where the copy is.
        overlay: What differs from the shipped configuration.
        environment: Variables besides those of this process; None takes one out.
        umask: Of the run; -1 is that of this process.
        outputs: The folder for what commands print; None is that beside `folder`.
    """

    folder: Path
    overlay: dict[str, Any] = field(default_factory=lambda: OVERLAY)
    environment: dict[str, str | None] = field(default_factory=dict)
    umask: int = -1
    outputs: Path | None = None

    def create(self) -> Pipeline:
        """Copy the files that git tracks here, and write the overlay."""
        copy_project(self.folder)
        (self.folder / "reduced.yaml").write_text(yaml.safe_dump(self.overlay))
        return self

    def start(self, *arguments: str, overlay: str = "reduced.yaml", log: str = "output.txt") -> subprocess.Popen[bytes]:
        """Start Snakemake in a process group of its own; its output goes to a file."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        given = {**os.environ, "PATH": path, "PYTHONPATH": str(self.folder / "src"), **self.environment}
        environment = {name: value for name, value in given.items() if value is not None}
        with self._output(log).open("wb") as output:
            return subprocess.Popen(
                ["snakemake", "--cores", "2", *arguments, "--configfile", overlay],
                cwd=self.folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                umask=self.umask,
                preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background shells ignore it
            )

    def output(self, log: str = "output.txt") -> str:
        """Return what the last command printed."""
        return self._output(log).read_text(errors="replace")

    def _output(self, log: str) -> Path:
        return (self.outputs or self.folder.parent) / log

    def finish(self, *arguments: str) -> float:
        """Run to the end, and return the seconds it took.

        Raises:
            UserError: It failed; the message ends with what it printed.
        """
        start = time.monotonic()
        if code := self.start(*arguments).wait():
            raise UserError(f"{self.folder}: Snakemake ended with {code}:\n{self.output()}")
        return time.monotonic() - start

    def hashes(self) -> dict[str, str]:
        """Return the SHA-256 of every result that must be the same in every run, by its name in `results`."""
        hashes = {f"{part}/{k}": v for part in COMPARED for k, v in hash_files(self.folder / "results" / part).items()}
        return {name: value for name, value in hashes.items() if not TIMED.search(name)}

    def leftovers(self) -> list[str]:
        """Return the files that interrupted writes left behind."""
        return sorted(str(path.relative_to(self.folder)) for path in (self.folder / "results").rglob(".*.part"))

    def remove(self) -> None:
        """Delete the folder."""
        shutil.rmtree(self.folder)


def hash_files(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of each file below a folder, by its name there, but for Snakemake's marks in folders."""
    files = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.name != ".snakemake_timestamp"]
    return {str(path.relative_to(folder)): sha256(path) for path in files}


def undisturbed(folder: Path, overlay: Mapping[str, Any] = OVERLAY) -> tuple[dict[str, str], float]:
    """Run a copy without any fault, and return the hashes of its results and the seconds it took."""
    pipeline = Pipeline(folder, dict(overlay)).create()
    seconds = pipeline.finish()
    return pipeline.hashes(), seconds


def differences(found: Mapping[str, str], expected: Mapping[str, str]) -> list[str]:
    """Return the names of the results that are missing, too many, or not the same."""
    return sorted(name for name in found.keys() | expected.keys() if found.get(name) != expected.get(name))


def check(pipeline: Pipeline, expected: dict[str, str]) -> None:
    """Check that a disturbed run ended as an undisturbed one does.

    Raises:
        UserError: Results differ, something is left to do, or half-written files are left.
    """
    if differing := differences(pipeline.hashes(), expected):
        raise UserError(f"{pipeline.folder}: {len(differing)} results differ, such as {differing[0]}")
    pipeline.finish("--dry-run")
    if "Nothing to be done" not in pipeline.output():
        raise UserError(f"{pipeline.folder}: something is left to do:\n{pipeline.output()}")
    if leftovers := pipeline.leftovers():
        raise UserError(f"{pipeline.folder}: {len(leftovers)} half-written files are left, such as {leftovers[0]}")


def error_lines(output: str) -> list[str]:
    """Return the lines of an output that tell a user what went wrong, each once."""
    return list(dict.fromkeys(line for line in output.splitlines() if line.startswith("error: ")))
