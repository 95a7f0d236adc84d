"""A run's working state on disk: what a stopped run needs to go on as if it had not been stopped.

It lives outside the declared outputs, which Snakemake deletes before it reruns a job:

    results/state/STAGE/POOL/METHOD/SEED/
        job.json            what is being run; a checkpoint of another job is refused
        code.json           the hash of each module that runs it, and where they changed
        step-00000120/      policy, optimiser, selector, replay, metrics; replaced whole, the newest one counts
        ledger/             parts, one per checkpoint
        snapshots/          policies kept for evaluation
        lock                held by the process that is at it

The step is the only unit of progress: every random number is drawn from (seed, step), so no random state is kept.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from dopr.errors import UserError
from dopr.files import read_json, write_atomically, write_json

CodePolicy = Literal["restart", "stop", "continue"]  # see config.yaml, on_code_change


class CheckpointError(UserError):
    """A working state that does not belong to this job; the message is one line for the user."""


@dataclass(frozen=True)
class RunState:
    """The working state of one run in `folder`."""

    folder: Path

    @property
    def snapshots(self) -> Path:
        """Policies kept for evaluation, one folder each."""
        return self.folder / "snapshots"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the run's lock; a process orphaned by a killed Snakemake may still be at it, then wait for it."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                print(f"{self.folder}: another process is at this run; waiting for it", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def claim(self, job: dict[str, Any], code: dict[str, str], policy: CodePolicy) -> list[dict[str, Any]]:
        """Make this the working state of `job`: keep what is there if it is the same job's.

        Args:
            job: What is run.
            code: The hash of each module that runs it, by name.
            policy: What to do with a checkpoint of other code.

        Returns:
            Where this run went on with other code: after which step, and the modules that changed.

        Raises:
            CheckpointError: The state belongs to another configuration, or to other code that may not go on with it.
        """
        for leftover in list(self.folder.rglob(".*.part")):  # of a write that was killed
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
        path = self.folder / "job.json"
        if path.is_file():
            check_same_job(self.folder, read_json(path), job)
        if policy == "stop":
            self.check_code(code)
        changed = self.changed_code(code)
        changes: list[dict[str, Any]] = self._code().get("changes", [])
        if changed and policy == "restart":
            print(f"{self.folder}: the code changed since this run was stopped; it starts over", file=sys.stderr)
            for progress in self.folder.glob("*/"):
                shutil.rmtree(progress)
            changes = []
        elif changed:
            changes = [*changes, {"step": self.steps_done, "modules": changed}]
        write_json(path, job)
        write_json(self.folder / "code.json", {"modules": code, "changes": changes})
        return changes

    def check_code(self, code: dict[str, str]) -> None:
        """Refuse a checkpoint that other code wrote.

        Raises:
            CheckpointError: There is one; names the modules that changed and how to go on or start over.
        """
        if changed := self.changed_code(code):
            raise CheckpointError(
                f"{self.folder}: the code of {', '.join(changed)} changed since this run was stopped after step "
                f"{self.steps_done}; --config on_code_change=continue goes on from there, on_code_change=restart "
                "starts over"
            )

    def changed_code(self, code: dict[str, str]) -> list[str]:
        """Return the modules that differ from those that wrote the checkpoint; none if there is no checkpoint."""
        before = self._code().get("modules", {}) if self.steps_done else code
        return sorted(name for name in before.keys() | code.keys() if before.get(name) != code.get(name))

    @property
    def steps_done(self) -> int:
        """The step of the newest checkpoint; 0 without one."""
        found = sorted(self.folder.glob("step-*"))
        return int(found[-1].name.removeprefix("step-")) if found else 0

    def _code(self) -> dict[str, Any]:
        path = self.folder / "code.json"
        found: dict[str, Any] = read_json(path) if path.is_file() else {}
        return found

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Keep `state` as the checkpoint after `step` steps, and drop older ones."""
        write_atomically(self._path(step), lambda path: _write_state(path, state))
        for old in self.folder.glob("step-*"):
            if old != self._path(step):
                shutil.rmtree(old)

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """The newest checkpoint as (steps done, state), or None when there is none."""
        if not self.steps_done:
            return None
        import torch  # its import takes seconds, and Snakemake, which only compares job.json, needs none of it

        path = self._path(self.steps_done)
        return self.steps_done, torch.load(path / "state.pt", map_location="cpu", weights_only=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"


def _write_state(path: Path, state: dict[str, Any]) -> None:
    import torch

    path.mkdir()
    with (path / "state.pt").open("wb") as file:
        torch.save(state, file)
        file.flush()
        os.fsync(file.fileno())


def check_same_job(folder: Path, found: dict[str, Any], job: dict[str, Any]) -> None:
    """Compare two job descriptions, nested keys included.

    Raises:
        CheckpointError: they differ.
    """
    theirs, ours = flatten(found), flatten(job)
    for key in sorted(theirs.keys() | ours.keys()):
        if theirs.get(key) != ours.get(key):
            raise CheckpointError(
                f"{folder}: this checkpoint was written with {key} = {theirs.get(key)!r}, now it is {ours.get(key)!r}; "
                f"restore the configuration to go on, or delete the folder to start over"
            )


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Nested mappings as one, with dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, part in value.items() for k, v in flatten(part, f"{prefix}.{key}" if prefix else key).items()}
