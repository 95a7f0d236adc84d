"""Fill the disk at random moments of a run, free it, go on with the same command, and compare the results.

    python benchmarks/full_disk.py --rounds 10

The project lies on a disk of its own in memory (tmpfs), which needs root. Without it, or with --limit, no file may grow
beyond a random size (RLIMIT_FSIZE), which writers meet as they meet a full disk. A run must end with a line for its
user and without a traceback of dopr; what it left is never taken for whole. At last a run meets a read-only `results`.
"""

from __future__ import annotations

import argparse
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from subprocess import Popen

from dopr.errors import UserError
from program import run_program
from reduced_pipeline import Pipeline, check, undisturbed

DISK_MB = 64
MOST_FREE = 200_000  # bytes that are left when the disk is filled


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the program's options."""
    parser.add_argument("--folder", type=Path, help="for the runs (default: a temporary one)")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--faults", type=int, default=3, help="full disks in a round, before it goes to its end")
    parser.add_argument("--limit", action="store_true", help="limit the size of files, and fill no disk")
    parser.add_argument("--seed", type=int, default=0)


@contextmanager
def small_disk(folder: Path) -> Iterator[Path]:
    """Mount a disk of DISK_MB megabytes."""
    folder.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={DISK_MB}m", "tmpfs", folder], check=True)
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


@contextmanager
def read_only(folder: Path) -> Iterator[None]:
    """Make a folder read-only, for root too."""
    subprocess.run(["mount", "--bind", folder, folder], check=True)
    subprocess.run(["mount", "-o", "remount,bind,ro", folder], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def fill(disk: Path, free: int) -> Path:
    """Fill a disk but for some bytes; return the file to delete."""
    with (disk / "filler").open("wb") as file:
        while True:
            space = os.statvfs(disk)
            size = max(1, space.f_bavail * space.f_frsize - free)
            with suppress(OSError):  # a job wrote meanwhile
                os.posix_fallocate(file.fileno(), 0, size)
                return disk / "filler"


def meet_full_disk(pipeline: Pipeline, disk: Path, seconds: float, draw: random.Random) -> bool:
    """Fill the disk at a random moment of a run; return whether the run failed."""
    process = pipeline.start()
    time.sleep(draw.uniform(0, 0.8 * seconds))
    filler = fill(disk, draw.randrange(MOST_FREE))
    try:
        return process.wait() != 0
    finally:
        filler.unlink()


def meet_limit(pipeline: Pipeline, draw: random.Random) -> bool:
    """Run with a limit to the size of files; return whether the run failed."""
    limit = round(10 ** draw.uniform(3, 5.5))

    def wait(process: Popen[bytes]) -> int:
        resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
        return process.wait()

    return wait(pipeline.start()) != 0


def judge(pipeline: Pipeline) -> str:
    """Return what a failed run told its user: a line of dopr, a line of a program, or a traceback, and whose."""
    output = pipeline.output()
    if "Traceback" in output:  # Snakemake prints one where it cannot write its own records
        return "traceback" if f"{pipeline.folder}/src/dopr" in output else "Snakemake's"
    if any(line.startswith("error: ") for line in output.splitlines()):
        return "one line"
    return "a line of a program" if "No space left" in output or "File too large" in output else "nothing"


def round_(pipeline: Pipeline, disk: Path | None, seconds: float, faults: int, draw: random.Random) -> Counter[str]:
    """Meet some faults, then run to the end; return what the failed runs told."""
    told = Counter[str]()
    for _ in range(faults):
        failed = meet_full_disk(pipeline, disk, seconds, draw) if disk else meet_limit(pipeline, draw)
        found = judge(pipeline) if failed else "ended well"
        told[found] += 1
        if found in ("traceback", "nothing"):
            print(pipeline.output()[-3000:], flush=True)
        if not failed:
            break
    pipeline.finish()
    return told


def meet_read_only(pipeline: Pipeline) -> Counter[str]:
    """Run with a read-only results folder, then in a read-only project; return what the runs told."""
    told = Counter[str]()
    for folder in (pipeline.folder / "results", pipeline.folder):
        with read_only(folder):
            found = judge(pipeline) if pipeline.start().wait() else "ended well"
        told[f"read-only: {found}"] += 1
        if found != "one line":
            print(pipeline.output()[-3000:], flush=True)
    return told


def run(args: argparse.Namespace) -> None:
    """Run the campaign and print what users are told.

    Raises:
        UserError: A run ended with other results, or told its user nothing, or too much.
    """
    folder = args.folder or Path(tempfile.mkdtemp(prefix="dopr-disk-"))
    draw, told = random.Random(args.seed), Counter[str]()
    expected, seconds = undisturbed(folder / "undisturbed")
    mounts = os.geteuid() == 0 and not args.limit
    if not mounts:
        print("no root, or --limit: files are limited in size, and no disk is filled")
    for number in range(args.rounds):
        if mounts:
            with small_disk(folder / f"disk-{number}") as disk:
                pipeline = Pipeline(disk / "project", outputs=folder).create()
                told += round_(pipeline, disk, seconds, args.faults, draw)
                check(pipeline, expected)
        else:
            pipeline = Pipeline(folder / f"round-{number}").create()
            told += round_(pipeline, None, seconds, args.faults, draw)
            check(pipeline, expected)
        print(f"round {number + 1}: the same bytes, {dict(sorted(told.items()))}", flush=True)
    if mounts:
        told += meet_read_only(Pipeline(folder / "read-only").create())
    print(f"{args.rounds} rounds: {dict(sorted(told.items()))}")
    if sum(told[name] for name in told if name.endswith(("traceback", "nothing"))):
        raise UserError("some runs told their user nothing, or too much; see above")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
