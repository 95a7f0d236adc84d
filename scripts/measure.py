"""Run a command, and say at its end what it and its children took: time, processor time by program, and memory.

A job is counted under the name of its script; what a job starts, such as the grader, under the job. The processor time
by program is looked at twice a second, so that of a process which ends between two looks is missing in it.
"""

import argparse
import resource
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import psutil

SECONDS = 0.5  # between two looks


def program_of(process: psutil.Process) -> str:
    """Return the name of a process, which jobs set to their script's; of another Python program, its file or module."""
    first, *second = [*process.cmdline()[1:3], ""]
    if not process.name().startswith("python"):
        return process.name()
    if first == "-m":
        return second[0]
    return Path(first).name if first.endswith(".py") else process.name()


class Usage:
    """Processor seconds of every process seen, and the most memory of all at a time."""

    def __init__(self) -> None:
        self.seconds: dict[tuple[int, float], float] = {}
        self.programs: dict[tuple[int, float], str] = {}
        self.memory = 0

    def look(self, root: int) -> None:
        """Look at a process and all its descendants; shared pages count once each time they are mapped."""
        memory = 0
        for process in [psutil.Process(root), *psutil.Process(root).children(recursive=True)]:
            try:
                key = process.pid, process.create_time()
                times = process.cpu_times()
                memory += process.memory_info().rss
                self.seconds[key] = times.user + times.system
                self.programs[key] = program_of(process)
            except (psutil.NoSuchProcess, psutil.ZombieProcess):
                continue
        self.memory = max(self.memory, memory)

    def by_program(self) -> dict[str, float]:
        """Return the seconds of each program, the largest first."""
        totals: dict[str, float] = defaultdict(float)
        for key, seconds in self.seconds.items():
            totals[self.programs[key]] += seconds
        return dict(sorted(totals.items(), key=lambda item: -item[1]))


def main() -> None:
    """Pass the command's exit code on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--stages", action="store_true", help="print the processor time of each program too")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    started, usage = time.monotonic(), Usage()
    with subprocess.Popen(args.command) as command:
        try:
            while command.poll() is None:
                usage.look(command.pid)
                time.sleep(SECONDS)
        except KeyboardInterrupt:  # the command got it too, and takes its time to stop
            command.wait()
        except psutil.NoSuchProcess:
            command.wait()
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = f"{used.ru_utime + used.ru_stime:.0f} CPU-seconds"
    if args.stages:
        for program, spent in usage.by_program().items():
            print(f"{spent:9.1f} s  {program}")
    print(
        f"{args.command[0]}: {minutes} min {seconds} s, {cpu}, at most {usage.memory / 2**30:.1f} GB of memory",
        flush=True,
    )
    sys.exit(command.returncode)


if __name__ == "__main__":
    main()
