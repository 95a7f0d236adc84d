"""Workers that compare answers, seen from outside: send them batches, lose some of them, start others.

A pair whose worker dies is judged by how it died: `timeout` if it outran its limit. If it was killed by anything else,
such as the machine running out of memory, the pair is tried once more; a second death is `error`.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection, Pipe, wait
from typing import TYPE_CHECKING

from dopr.config.grading import Verify
from dopr.errors import UserError
from dopr.records import Verdict

if TYPE_CHECKING:  # so that its code counts in fingerprints; it runs in processes of its own
    from dopr.grading import worker  # noqa: F401

BATCH = 64  # pairs a worker is sent at a time
MESSAGE = 32  # bytes, as in dopr.grading.worker
START_SECONDS = 60.0  # to import math-verify on a busy machine
STUCK_SECONDS = 30.0  # beyond all limits of a worker: it was stopped, or waits for a disk
OUTRAN = {signal.SIGPROF, signal.SIGALRM}
Pair = tuple[str, str]


class GraderError(UserError):
    """Grading is broken: not the policy's fault, so the run must stop."""


@dataclass
class Worker:
    """A process, and the numbers of the pairs it has yet to answer."""

    connection: Connection
    process: int
    waiting: deque[int] = field(default_factory=deque)


class Pool:
    """A server and `limits.workers` workers. Starts at once; the first comparison waits until it is ready."""

    def __init__(self, limits: Verify) -> None:
        self.limits = limits
        self.notes: dict[str, None] = {}  # what was said of errors, each once
        self._control, theirs = socket.socketpair()
        self._control.settimeout(START_SECONDS)
        arguments = (theirs.fileno(), limits.profile, limits.seconds, limits.memory_mb)
        self._server = subprocess.Popen(
            [sys.executable, "-m", "dopr.grading.worker", *map(str, arguments)],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a group of its own, which it ends as a whole
        )
        theirs.close()
        self._workers: list[Worker] = []

    def close(self) -> None:
        """End all processes."""
        self._control.close()
        for worker in self._workers:
            worker.connection.close()
        self._server.wait()

    def compare(self, pairs: Sequence[Pair]) -> list[Verdict]:
        """Verdicts of (reference, answer) pairs, in order; the same for any number of workers.

        Raises:
            GraderError: no worker can be started.
        """
        verdicts: dict[int, Verdict] = {}
        size = max(1, min(BATCH, len(pairs) // (4 * self.limits.workers)))
        queue = deque(list(range(i, min(i + size, len(pairs)))) for i in range(0, len(pairs), size))
        tried: set[int] = set()
        while len(verdicts) < len(pairs):
            busy = self._send(pairs, queue)
            ready = wait([worker.connection for worker in busy], self._longest())
            for worker in busy:
                if worker.connection in ready:
                    self._receive(worker, verdicts, queue, tried)
                elif not ready:
                    os.kill(worker.process, signal.SIGKILL)
        return [verdicts[i] for i in range(len(pairs))]

    def _longest(self) -> float:
        return 10 * (self.limits.seconds + 1) + STUCK_SECONDS

    def _send(self, pairs: Sequence[Pair], queue: deque[list[int]]) -> list[Worker]:
        """Give every idle worker a batch, starting workers as they are needed; returns the busy ones."""
        while len(self._workers) < min(self.limits.workers, len(queue)):
            self._workers.append(self._start())
        for i, worker in enumerate(self._workers):
            if not worker.waiting and queue:
                batch = queue.popleft()
                worker.waiting.extend(batch)
                try:
                    worker.connection.send_bytes(json.dumps([pairs[j] for j in batch]).encode())
                except (BrokenPipeError, ConnectionResetError):  # it died while idle
                    queue.appendleft(batch)
                    self._workers[i] = self._replace(worker)[1]
        return [worker for worker in self._workers if worker.waiting]

    def _receive(self, worker: Worker, verdicts: dict[int, Verdict], queue: deque[list[int]], tried: set[int]) -> None:
        """Take one verdict, or what is left of a dead worker."""
        try:
            verdict, note = json.loads(worker.connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            ended, new = self._replace(worker)
            self._workers[self._workers.index(worker)] = new
            first = worker.waiting[0]
            if ended in OUTRAN or first in tried:
                verdicts[worker.waiting.popleft()] = "timeout" if ended in OUTRAN else "error"
            tried.add(first)
            if worker.waiting:
                queue.appendleft(list(worker.waiting))
            return
        verdicts[worker.waiting.popleft()] = verdict
        if note and note not in self.notes:
            self.notes[note] = None
            print(f"grader: {note}", file=sys.stderr, flush=True)

    def _replace(self, worker: Worker) -> tuple[int, Worker]:
        """The signal that ended a worker, and another worker."""
        worker.connection.close()
        new = self._start(worker.process)
        return self._ended, new

    def _start(self, replaced: int = 0) -> Worker:
        ours, theirs = Pipe()
        try:
            socket.send_fds(self._control, [str(replaced).ljust(MESSAGE).encode()], [theirs.fileno()])
            answer = self._control.recv(MESSAGE, socket.MSG_WAITALL)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            answer = b""
        theirs.close()
        if not answer:
            raise GraderError("the grading process does not answer; is math-verify installed in this environment?")
        self._ended, process = map(int, answer.split())
        return Worker(ours, process)
