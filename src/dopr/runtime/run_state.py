"""The state of a run on disk, from which a stopped run continues with the same results as an uninterrupted one.

It is outside the declared outputs, because Snakemake deletes those before it reruns a job:

    results/state/STAGE/POOL/METHOD/SEED/
        job.json            the description of the job; a checkpoint of another job is refused
        code.json           the hash of each module that runs the job, and the steps at which they changed
        processors.json     the names of the processors that ran the job
        step-00000120/      checkpoint: policy, optimiser, selector, replay buffer, metrics; the newest one is used
        ledger/             parts, one per checkpoint
        snapshots/          policies kept for evaluation
        lock                locked by the process that runs the job

The folder belongs to the process that holds its lock. If the folder is deleted, and perhaps made anew by another run,
that process ends at its next step: the file that it locked is no longer the one in the folder.

Every random number depends on (seed, step) alone, so a checkpoint holds no random state.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, Literal

from dopr.errors import UserError
from dopr.file_hashes import changed_files, write_hashes
from dopr.files import read_json, remove_half_written, write_atomically, write_json
from dopr.runtime.file_locks import is_file_at, try_flock

STATE = "state.pt"  # of a checkpoint
CodePolicy = Literal["restart", "stop", "continue"]  # see config.yaml, on_code_change


class CheckpointError(UserError):
    """A checkpoint that does not belong to this job; the message is one line for the user."""


@dataclass
class RunState:
    """The state of one run, in `folder`."""

    folder: Path
    _held: IO[str] | None = field(default=None, init=False, repr=False)

    def snapshot(self, step: int) -> Path:
        """Return the folder of the policy that is kept for evaluation after `step` steps."""
        return self.folder / "snapshots" / f"step-{step:08d}"

    @contextmanager
    def held(self) -> Iterator[None]:
        """Hold the lock of the run.

        Wait if another process holds it: a process that was orphaned by a killed Snakemake may still be running.
        """
        with self._lock() as self._held:
            try:
                yield
            finally:
                self._held = None

    def _lock(self) -> IO[str]:
        path = self.folder / "lock"
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            lock = path.open("w")
            if not try_flock(lock.fileno(), path):
                print(f"{self.folder}: another process runs this job; waiting for it", file=sys.stderr, flush=True)
                fcntl.flock(lock, fcntl.LOCK_EX)
            if is_file_at(lock.fileno(), path):  # else the folder was deleted while this process waited
                return lock
            lock.close()

    def check_held(self) -> None:
        """Check that the folder is still the one that this process holds, if it holds one.

        Raises:
            CheckpointError: It was deleted, and perhaps made anew by another process.
        """
        if self._held and not is_file_at(self._held.fileno(), self.folder / "lock"):
            raise CheckpointError(
                f"{self.folder}: this folder was deleted while process {os.getpid()} ran in it; the process ends, "
                "since what is there now belongs to another run"
            )

    def claim(self, job: dict[str, Any], code: dict[str, str], policy: CodePolicy) -> list[dict[str, Any]]:
        """Prepare the folder for `job`; an existing checkpoint is kept if it belongs to the same job.

        Args:
            job: The description of the job.
            code: Module -> hash of its code, for the modules that run the job.
            policy: What to do with a checkpoint that other code wrote.

        Returns:
            The code changes during this run: after which step, and which modules.

        Raises:
            CheckpointError: If the checkpoint is from another configuration, or from other code and `policy` is `stop`.
        """
        remove_half_written(self.folder)
        path = self.folder / "job.json"
        if path.is_file():
            check_same_job(self.folder, read_json(path), job)
        if policy == "stop":
            self.check_code(code)
        changed = self.changed_code(code)
        changes: list[dict[str, Any]] = self._code().get("changes", [])
        if changed and policy == "restart":
            print(f"{self.folder}: the code changed since this run was stopped; it starts over", file=sys.stderr)
            for subfolder in self.folder.glob("*/"):
                shutil.rmtree(subfolder)
            changes = []
        elif changed:
            changes = [*changes, {"step": self.steps_done, "modules": changed}]
        write_json(path, job)
        write_json(self.folder / "code.json", {"modules": code, "changes": changes})
        return changes

    def add_processor(self, name: str) -> list[str]:
        """Note the processor that runs the job from now on; return those of the checkpoint so far, and this one."""
        path = self.folder / "processors.json"
        before = read_json(path) if self.steps_done and path.is_file() else []
        names = list(dict.fromkeys([*before, name]))
        write_json(path, names)
        return names

    def check_code(self, code: dict[str, str]) -> None:
        """Check that the checkpoint was written by this code.

        Raises:
            CheckpointError: If it was not; the message names the changed modules and how to continue or start over.
        """
        if changed := self.changed_code(code):
            raise CheckpointError(
                f"{self.folder}: the code of {', '.join(changed)} changed since this run was stopped after step "
                f"{self.steps_done}; --config on_code_change=continue goes on from there, on_code_change=restart "
                "starts over"
            )

    def changed_code(self, code: dict[str, str]) -> list[str]:
        """Return the modules that changed since the checkpoint was written; none if there is no checkpoint."""
        before = self._code().get("modules", {}) if self.steps_done else code
        return sorted(name for name in before.keys() | code.keys() if before.get(name) != code.get(name))

    @property
    def steps_done(self) -> int:
        """Return the number of steps done at the newest checkpoint; 0 without one."""
        checkpoints = sorted(self.folder.glob("step-*"))
        return int(checkpoints[-1].name.removeprefix("step-")) if checkpoints else 0

    def _code(self) -> dict[str, Any]:
        path = self.folder / "code.json"
        code: dict[str, Any] = read_json(path) if path.is_file() else {}
        return code

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write the checkpoint after `step` steps, and delete older ones.

        Raises:
            CheckpointError: See check_held.
        """
        self.check_held()
        write_atomically(self._path(step), lambda path: _write_state(path, state))
        for old in self.folder.glob("step-*"):
            if old != self._path(step):
                shutil.rmtree(old)

    def load(self) -> tuple[int, dict[str, Any]] | None:
        """Return (steps done, state) of the newest checkpoint, or None if there is none.

        Raises:
            CheckpointError: The checkpoint is damaged.
        """
        if not self.steps_done:
            return None
        import torch  # imported here because it takes seconds, and parsing the Snakefile only compares job.json

        path = self._path(self.steps_done)
        if changed_files(path):
            raise CheckpointError(f"{path / STATE}: a damaged checkpoint; delete {self.folder} to start the run over")
        return self.steps_done, torch.load(path / STATE, map_location="cpu", weights_only=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"


def _write_state(path: Path, state: dict[str, Any]) -> None:
    import torch

    path.mkdir()
    with (path / STATE).open("wb") as file:
        try:
            torch.save(state, file)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # of the disk, which PyTorch's own error at closing hides
                raise error.__context__ from None
            raise
        file.flush()
        os.fsync(file.fileno())
    write_hashes(path)


def check_same_job(folder: Path, found: dict[str, Any], job: dict[str, Any]) -> None:
    """Check that the job description of a checkpoint is that of this job.

    Raises:
        CheckpointError: If they differ; the message names the first key that does.
    """
    before, now = flatten(found), flatten(job)
    for key in sorted(before.keys() | now.keys()):
        if key.startswith("inputs.") and key not in before:  # an older version recorded fewer
            continue
        if before.get(key) != now.get(key):
            raise CheckpointError(
                f"{folder}: this checkpoint was written with {key} = {before.get(key)!r}, now it is {now.get(key)!r}; "
                "restore the configuration to go on, or delete the folder to start over"
            )


def flatten(value: Any, prefix: str = "") -> dict[str, Any]:
    """Flatten nested mappings into one, with dotted keys."""
    if not isinstance(value, dict):
        return {prefix: value}
    return {k: v for key, part in value.items() for k, v in flatten(part, f"{prefix}.{key}" if prefix else key).items()}
