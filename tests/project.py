"""A copy of the project in a folder of its own, to run as a user would."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
SMOKE = ("--configfile", "experiments/smoke.yaml")


@dataclass(frozen=True)
class Project:
    folder: Path

    @classmethod
    def copy(cls, folder: Path) -> Project:
        """All files under version control, or about to be."""
        command = ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"]
        for name in subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines():
            if (ROOT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, folder / name)
        return cls(folder)

    @property
    def environment(self) -> dict[str, str]:
        """This interpreter first, and the copy's own library."""
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        return {**os.environ, "PATH": path, "PYTHONPATH": str(self.folder / "src")}

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Snakemake in a process group of its own."""
        return subprocess.Popen(
            ["snakemake", *arguments],
            cwd=self.folder,
            env=self.environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # background shells ignore it
        )

    def snakemake(self, *arguments: str) -> tuple[int, str]:
        """Exit code and output."""
        process = self.start(*arguments)
        output, _ = process.communicate(timeout=900)
        return process.returncode, output

    def planned(self, *arguments: str) -> set[str]:
        """The rules a dry run would execute."""
        code, output = self.snakemake("-n", "--quiet", "progress", *arguments)
        assert code == 0, output
        return rules_in(output)

    def hashes(self, *parts: str) -> dict[str, str]:
        """Content of every result that must not differ from run to run."""
        files = [
            path for part in parts for path in sorted((self.folder / "results" / part).rglob("*")) if path.is_file()
        ]
        kept = [path for path in files if "seconds" not in path.name and path.name != "provenance.json"]
        return {str(p.relative_to(self.folder)): hashlib.sha256(p.read_bytes()).hexdigest() for p in kept}


def rules_in(output: str) -> set[str]:
    """The rules that a dry run lists, without the seeds in their names."""
    return set(re.findall(r"^(?:local)?rule ([a-z_]+?)(?:_\d+)*:$", output, re.MULTILINE))


def wait_for(happened: Callable[[], bool], process: subprocess.Popen[str], seconds: float = 300) -> None:
    """Poll until something has happened while a process runs."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert process.poll() is None, process.communicate()[0]
        assert time.monotonic() < deadline, "it never happened"
        time.sleep(0.005)


def kill(process: subprocess.Popen[str]) -> None:
    """End a process and all it started, without warning."""
    os.killpg(process.pid, signal.SIGKILL)
    process.communicate()


def edit(project: Project, name: str, old: str, new: str) -> None:
    """Change a file that must hold what is changed."""
    path = project.folder / name
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
