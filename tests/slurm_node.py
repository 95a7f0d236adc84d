"""A Slurm cluster of one node on this machine, with one pretended GPU: no systemd, no accounting, no cgroups."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

DAEMONS = ("munged", "slurmctld", "slurmd")
SETTINGS = Path("/etc/slurm")  # elsewhere jobs do not find it: the executor takes SLURM_CONF out of their environment
SOCKETS = Path("/run/munge")
PATH = f"{os.environ['PATH']}:/usr/sbin:/sbin"


class NotReadyError(Exception):
    """The daemons run, and the node takes no jobs."""


def missing() -> str | None:
    """Why no cluster can be started here; None if one can."""
    absent = [name for name in DAEMONS if not shutil.which(name, path=PATH)]
    if absent:
        return f"{', '.join(absent)} not installed: apt-get install slurmctld slurmd slurm-client munge"
    if os.geteuid() != 0:
        return "starting Slurm takes root"
    if (SETTINGS / "slurm.conf").exists():
        return f"{SETTINGS}/slurm.conf is there: this machine has a cluster of its own"
    return None


@contextmanager
def cluster(folder: Path) -> Iterator[None]:
    """Slurm while the block runs; its logs and state are in `folder`."""
    for name in ("state", "spool"):
        (folder / name).mkdir()
    SETTINGS.mkdir(exist_ok=True)
    SOCKETS.mkdir(exist_ok=True)
    files = {SETTINGS / name: text for name, text in settings(folder).items()}
    for path, text in files.items():
        path.write_text(text)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    started: list[Path] = []
    try:
        logs = [f"--pid-file={folder}/munged.pid", f"--log-file={folder}/munged.log", f"--seed-file={folder}/seed"]
        for command in (["munged", "--force", f"--key-file={key}", *logs], ["slurmctld"], ["slurmd"]):
            subprocess.run(command, check=True, timeout=60, env={**os.environ, "PATH": PATH})
            started.append(folder / f"{command[0]}.pid")
        until_idle()
        yield
    finally:
        for file in reversed(started):
            os.kill(int(file.read_text()), 15)
        for path in files:
            path.unlink()


def until_idle(seconds: float = 60) -> None:
    """Wait for the node to be ready for jobs."""
    deadline = time.monotonic() + seconds
    while "idle" not in ask("sinfo", "--noheader", "--format=%T"):
        if time.monotonic() > deadline:
            raise NotReadyError("its node never became idle")
        time.sleep(0.2)


def ask(*command: str) -> str:
    """What a Slurm command prints."""
    return subprocess.run(command, capture_output=True, text=True, timeout=30, check=False).stdout


def settings(folder: Path) -> dict[str, str]:
    """The configuration files: a node with all processors, a GPU that is /dev/null, and two partitions."""
    host = socket.gethostname().split(".")[0]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
    values = {
        "ClusterName": "test",
        "SlurmctldHost": f"{host}(127.0.0.1)",
        "SlurmUser": "root",
        "SlurmdUser": "root",
        "ProctrackType": "proctrack/linuxproc",
        "TaskPlugin": "task/none",
        "JobAcctGatherType": "jobacct_gather/none",
        "AccountingStorageType": "accounting_storage/none",
        "ReturnToService": "2",
        "SelectType": "select/cons_tres",
        "SelectTypeParameters": "CR_Core_Memory",
        "SchedulerParameters": "batch_sched_delay=1,sched_interval=2",
        "MinJobAge": "900",  # finished jobs stay in squeue's sight: there is no accounting to ask
        "KillWait": "1",  # seconds between asking a job to end and ending it
        "GresTypes": "gpu",
        "SlurmctldPidFile": f"{folder}/slurmctld.pid",
        "SlurmdPidFile": f"{folder}/slurmd.pid",
        "SlurmctldLogFile": f"{folder}/slurmctld.log",
        "SlurmdLogFile": f"{folder}/slurmd.log",
        "StateSaveLocation": f"{folder}/state",
        "SlurmdSpoolDir": f"{folder}/spool",
    }
    lines = [f"{key}={value}" for key, value in values.items()]
    lines.append(f"NodeName={host} NodeAddr=127.0.0.1 CPUs={os.cpu_count()} RealMemory={memory * 9 // 10} Gres=gpu:1")
    lines += [f"PartitionName={name} Nodes={host} MaxTime=1440 State=UP" for name in ("cpu", "gpu")]
    return {
        "slurm.conf": "\n".join(lines) + "\n",
        "gres.conf": f"NodeName={host} Name=gpu File=/dev/null\n",
        "cgroup.conf": "CgroupAutomount=no\n",
    }
