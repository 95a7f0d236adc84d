"""Kill a run at random moments, go on with the same command, and compare with an undisturbed run.

    python benchmarks/kills.py --folder /tmp/kills --kills 100

Each kill is SIGKILL or SIGINT (Ctrl-C), of one job, of the server that jobs are forks of, of Snakemake alone, or of the
whole process group. After a few kills the run goes to its end. Then its results must be the same bytes, nothing may be
left to do, and no half-written file may be left.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from subprocess import Popen

import psutil

from program import campaign_arguments, run_program
from reduced_pipeline import Pipeline, check, undisturbed

SIGNALS = (signal.SIGKILL, signal.SIGINT)
TARGETS = ("job", "server", "snakemake", "all")
PER_ROUND = 8  # kills, before a run goes to its end


def jobs_and_servers(snakemake: psutil.Process) -> tuple[list[psutil.Process], list[psutil.Process]]:
    """Return the processes of jobs, and the servers that jobs are forks of."""
    servers = [child for child in snakemake.children() if "dopr.runtime.fork_server" in child.cmdline()]
    others = [child for child in snakemake.children(recursive=True) if child not in servers]
    return others, servers


def kill(process: Popen[bytes], target: str, number: signal.Signals, draw: random.Random) -> bool:
    """Send a signal to a target; return whether there was one."""
    if process.poll() is not None:
        return False
    if target == "all":
        os.killpg(process.pid, number)
        return True
    victims = [process.pid]
    if target != "snakemake":
        jobs, servers = jobs_and_servers(psutil.Process(process.pid))
        victims = [found.pid for found in (jobs if target == "job" else servers)]
    if victims:
        os.kill(draw.choice(victims), number)
    return bool(victims)


def disturb(pipeline: Pipeline, seconds: float, draw: random.Random) -> str | None:
    """Start the pipeline and kill a part of it at a random moment; return what was killed, or None if it had ended."""
    target, number, moment = draw.choice(TARGETS), draw.choice(SIGNALS), draw.uniform(0.0, seconds)
    process = pipeline.start()
    time.sleep(moment)
    deadline, killed = time.monotonic() + seconds, False
    while not killed and process.poll() is None and time.monotonic() < deadline:
        with suppress(psutil.NoSuchProcess, ProcessLookupError):  # it ended just now
            killed = kill(process, target, number, draw)
        time.sleep(0.01)
    process.wait()
    return f"{number.name} {target}" if killed else None


def campaign(folder: Path, kills: int, seed: int) -> Counter[str]:
    """Kill as often as asked, and return how often what was killed.

    Raises:
        UserError: A run did not end as an undisturbed one does.
    """
    draw, counts, rounds = random.Random(seed), Counter[str](), 0
    expected, seconds = undisturbed(folder / "undisturbed")
    print(f"undisturbed: {len(expected)} results in {seconds:.0f} s", flush=True)
    while counts.total() < kills:
        pipeline = Pipeline(folder / f"round-{rounds}").create()
        killed: list[str] = []
        while len(killed) < min(PER_ROUND, kills - counts.total()):
            name = disturb(pipeline, seconds / (1 + len(killed) / 2), draw)  # less and less is left to run
            if name is None:
                break
            killed.append(name)
        pipeline.finish()
        check(pipeline, expected)
        pipeline.remove()
        counts.update(killed)
        rounds += 1
        print(f"round {rounds}: {', '.join(killed) or 'ended before a kill'}: the same bytes", flush=True)
    return counts


def run(args: argparse.Namespace) -> None:
    """Run the campaign and print what was killed.

    Raises:
        UserError: A run did not end as an undisturbed one does; its folder is kept.
    """
    folder = args.folder or Path(tempfile.mkdtemp(prefix="dopr-kills-"))
    counts = campaign(folder, args.kills, args.seed)
    print(f"{counts.total()} kills, all ended with the same bytes: {dict(sorted(counts.items()))}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the program."""
    run_program(__doc__, partial(campaign_arguments, name="--kills", default=20), run, arguments)


if __name__ == "__main__":
    main(sys.argv[1:])
