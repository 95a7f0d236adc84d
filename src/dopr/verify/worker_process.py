"""The grading worker seen from outside: start it, talk to it with a time limit, kill it."""

from __future__ import annotations

import itertools
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import IO, cast, get_args

from dopr.records import Verdict

PIPE_BYTES = 32768  # half of what a pipe holds
START_SECONDS = 60.0  # to import math-verify on a busy machine
VERDICTS = get_args(Verdict)


class WorkerDiedError(RuntimeError):
    """The worker ended, or answered something that is no verdict."""


class WorkerProcess:
    """One `python -m dopr.verify.worker`, with pipes read without buffering so that waiting can be bounded."""

    def __init__(self, memory_mb: int, seconds: float) -> None:
        """Limits of one comparison; whoever receives waits less long than `seconds`, this is for orphans."""
        command = [sys.executable, "-m", "dopr.verify.worker", str(memory_mb), str(seconds)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self._input, self._output = cast(IO[bytes], self._process.stdin), cast(IO[bytes], self._process.stdout)
        self._unread = b""
        self._ready = False

    def is_ready(self) -> bool:
        """Wait, the first time, until a comparison that must succeed does."""
        if not self._ready:
            try:
                self.send([("1", "1")])
                self._ready = self.receive(START_SECONDS) == "correct"
            except (TimeoutError, WorkerDiedError):
                return False
        return self._ready

    def send(self, pairs: Sequence[tuple[str, str]]) -> int:
        """Ask for the verdicts of (reference, answer) pairs; returns how many of the first ones were sent.

        No more than the pipe holds: a worker that hangs reads nothing, and whoever writes to it would hang too.

        Raises:
            WorkerDiedError: nobody reads.
        """
        lines = [json.dumps(pair).encode() + b"\n" for pair in pairs]
        count = max(1, sum(size <= PIPE_BYTES for size in itertools.accumulate(map(len, lines))))
        unsent = memoryview(b"".join(lines[:count]))
        try:
            while unsent:
                unsent = unsent[self._input.write(unsent) :]
        except BrokenPipeError:
            raise WorkerDiedError from None
        return count

    def receive(self, seconds: float) -> Verdict:
        """The next verdict.

        Raises:
            TimeoutError: none came in time.
            WorkerDiedError: none will come.
        """
        deadline = time.monotonic() + seconds
        while b"\n" not in self._unread:
            if not select.select([self._output], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError
            received = os.read(self._output.fileno(), 65536)
            if not received:
                raise WorkerDiedError
            self._unread += received
        line, _, self._unread = self._unread.partition(b"\n")
        if line.decode() not in VERDICTS:
            raise WorkerDiedError
        return line.decode()  # type: ignore[return-value]

    def kill(self) -> None:
        """End the worker at once."""
        self._process.kill()
        self._process.wait()
        self._input.close()
        self._output.close()
