"""Locks of files: held by one process at a time, and a warning where the file system has none."""

from __future__ import annotations

import errno
import fcntl
from pathlib import Path

import pytest

from dopr.errors import UserError
from dopr.runtime.file_locks import try_flock
from dopr.workflow import experiment


def test_a_lock_is_held_once(tmp_path: Path) -> None:
    with (tmp_path / "lock").open("w") as first, (tmp_path / "lock").open("w") as second:
        assert try_flock(first.fileno(), tmp_path / "lock")
        assert not try_flock(second.fileno(), tmp_path / "lock")


@pytest.mark.parametrize("number", [errno.ENOTSUP, errno.ENOSYS, errno.EINVAL, errno.ENOLCK])
def test_a_disk_without_locks_costs_a_warning(tmp_path: Path, monkeypatch, capsys, number: int) -> None:
    def refuse(descriptor: int, operation: int) -> None:
        raise OSError(number, "not here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    monkeypatch.setattr(experiment, "LOCK", tmp_path / ".snakemake/dopr.lock")
    experiment.take_lock()
    assert capsys.readouterr().err.startswith(
        f"warning: {tmp_path}/.snakemake/dopr.lock: this file system has no locks (not here): see to it that no other"
    )


def test_another_fault_of_the_disk_is_not_hidden(tmp_path: Path, monkeypatch) -> None:
    def fail(descriptor: int, operation: int) -> None:
        raise OSError(errno.EIO, "broken")

    monkeypatch.setattr(fcntl, "flock", fail)
    with pytest.raises(OSError, match="broken"):
        try_flock(0, tmp_path)


def test_two_runs_of_a_folder_are_refused(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(experiment, "LOCK", tmp_path / ".snakemake/dopr.lock")
    experiment.take_lock()
    with pytest.raises(UserError, match="another Snakemake runs in this folder: wait for it, or stop it"):
        experiment.take_lock()
