"""Run a command, and say at its end what it and its children took: time, processor time, and memory at most."""

import argparse
import resource
import subprocess
import sys
import time

import psutil

SECONDS = 0.5  # between two looks


def memory(process: psutil.Process) -> int:
    """Bytes of a process and all its descendants; shared pages count once each time they are mapped."""
    total = 0
    for member in [process, *process.children(recursive=True)]:
        try:
            total += member.memory_info().rss
        except psutil.NoSuchProcess:
            continue
    return total


def main() -> None:
    """Pass the command's exit code on."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", nargs=argparse.REMAINDER)
    arguments = parser.parse_args().command
    started, most = time.monotonic(), 0
    with subprocess.Popen(arguments) as command:
        try:
            while command.poll() is None:
                most = max(most, memory(psutil.Process(command.pid)))
                time.sleep(SECONDS)
        except KeyboardInterrupt:  # the command got it too, and takes its time to stop
            command.wait()
        except psutil.NoSuchProcess:
            command.wait()
    minutes, seconds = divmod(round(time.monotonic() - started), 60)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = f"{used.ru_utime + used.ru_stime:.0f} CPU-seconds"
    print(f"{arguments[0]}: {minutes} min {seconds} s, {cpu}, at most {most / 2**30:.1f} GB of memory", flush=True)
    sys.exit(command.returncode)


if __name__ == "__main__":
    main()
