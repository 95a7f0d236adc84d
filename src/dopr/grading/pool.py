"""A pool of worker processes that compare answers. It sends them batches and replaces those that die.

If a worker dies because a pair exceeds its time limit, the pair's verdict is `timeout`. If something else kills the
worker, such as a lack of memory on the machine, the pair is tried once more. After a second death it is `error`.
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
from dopr.grading.rules import SCORERS
from dopr.records import Grade

if TYPE_CHECKING:  # so that its code counts in the code hash; it runs in processes of its own
    from dopr.grading import worker  # noqa: F401

BATCH = 64  # pairs that are sent to a worker at a time
MESSAGE = 32  # bytes, as in dopr.grading.worker
START_SECONDS = 300.0  # to import math-verify or reasoning-gym on a very busy machine
STUCK_SECONDS = 30.0  # beyond all limits of a worker: it was stopped, or waits for a disk
TIMEOUT_SIGNALS = {signal.SIGPROF, signal.SIGALRM}
Pair = tuple[str, str]


class GraderError(UserError):
    """An error of the grader itself. The policy did not cause it, so the run must stop."""


@dataclass
class Worker:
    """A worker process, and the indices of the pairs that it has not answered yet."""

    connection: Connection
    process: int
    pending: deque[int] = field(default_factory=deque)


class Pool:
    """A server process and `limits.workers` workers.

    The first comparison starts the server, which imports the rule, and waits until it is ready. Integers alone need no
    comparison.
    """

    def __init__(self, limits: Verify, rule: str | None = None) -> None:
        """Compare by a rule of dopr.grading.rules; None is that of `limits.profile`."""
        self.limits, self.rule = limits, rule or limits.profile
        self.notes: dict[str, None] = {}  # messages of errors, each once
        self._control, self._server_end = socket.socketpair()
        self._control.settimeout(START_SECONDS)
        self._server: subprocess.Popen[bytes] | None = None
        self._workers: list[Worker] = []

    def close(self) -> None:
        """End all processes."""
        self._control.close()
        self._server_end.close()
        for worker in self._workers:
            worker.connection.close()
        if self._server:
            self._server.wait()

    def compare(self, pairs: Sequence[Pair]) -> list[Grade]:
        """Return the grade of each (reference, answer) pair. The number of workers does not change it.

        Raises:
            GraderError: No worker can be started.
        """
        grades: dict[int, Grade] = {}
        size = max(1, min(BATCH, len(pairs) // (4 * self.limits.workers)))
        queue = deque(list(range(start, min(start + size, len(pairs)))) for start in range(0, len(pairs), size))
        retried: set[int] = set()
        while len(grades) < len(pairs):
            busy = self._send(pairs, queue)
            ready = wait([worker.connection for worker in busy], self._stuck_after())
            for worker in busy:
                if worker.connection in ready:
                    self._receive(worker, grades, queue, retried)
                elif not ready:
                    os.kill(worker.process, signal.SIGKILL)
        return [grades[index] for index in range(len(pairs))]

    def _stuck_after(self) -> float:
        """Return the seconds without any answer after which all busy workers are killed."""
        return 10 * (self.limits.seconds + 1) + STUCK_SECONDS

    def _send(self, pairs: Sequence[Pair], queue: deque[list[int]]) -> list[Worker]:
        """Send a batch to every idle worker, start workers if needed, and return the busy ones."""
        while len(self._workers) < min(self.limits.workers, len(queue)):
            self._workers.append(self._start()[0])
        for slot, worker in enumerate(self._workers):
            if not worker.pending and queue:
                batch = queue.popleft()
                worker.pending.extend(batch)
                try:
                    worker.connection.send_bytes(json.dumps([pairs[index] for index in batch]).encode())
                except (BrokenPipeError, ConnectionResetError):  # it died while idle
                    queue.appendleft(batch)
                    self._workers[slot], _ = self._replace(worker)
        return [worker for worker in self._workers if worker.pending]

    def _receive(self, worker: Worker, grades: dict[int, Grade], queue: deque[list[int]], retried: set[int]) -> None:
        """Receive one grade. If the worker died, replace it and put the rest of its batch back into the queue."""
        try:
            verdict, score, note = json.loads(worker.connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            replacement, ended_by = self._replace(worker)
            self._workers[self._workers.index(worker)] = replacement
            first = worker.pending[0]
            if ended_by in TIMEOUT_SIGNALS or first in retried:
                grades[worker.pending.popleft()] = Grade("timeout" if ended_by in TIMEOUT_SIGNALS else "error", 0.0)
            retried.add(first)
            if worker.pending:
                queue.appendleft(list(worker.pending))
            return
        grades[worker.pending.popleft()] = Grade(verdict, score)
        if note and note not in self.notes:
            self.notes[note] = None
            print(f"grader: {note}", file=sys.stderr, flush=True)

    def _replace(self, worker: Worker) -> tuple[Worker, int]:
        """Start a worker in place of a dead one. Also return the signal that ended the dead one."""
        worker.connection.close()
        return self._start(worker.process)

    def _start(self, replaced: int = 0) -> tuple[Worker, int]:
        """Ask the server for a worker. Also return the signal that ended process `replaced`; 0 is no process."""
        self._server = self._server or self._start_server()
        connection, worker_end = Pipe()
        try:
            socket.send_fds(self._control, [str(replaced).ljust(MESSAGE).encode()], [worker_end.fileno()])
            reply = self._control.recv(MESSAGE, socket.MSG_WAITALL)
        except (TimeoutError, BrokenPipeError, ConnectionResetError):
            reply = b""
        worker_end.close()
        if not reply:
            package = "reasoning-gym" if self.rule == SCORERS else "math-verify"
            raise GraderError(f"the grading process does not answer; is {package} installed in this environment?")
        ended_by, process = map(int, reply.split())
        return Worker(connection, process), ended_by

    def _start_server(self) -> subprocess.Popen[bytes]:
        limits, descriptor = self.limits, self._server_end.fileno()
        arguments = (descriptor, self.rule, limits.seconds, limits.memory_mb)
        server = subprocess.Popen(
            [sys.executable, "-m", "dopr.grading.worker", *map(str, arguments)],
            pass_fds=[descriptor],
            stdin=subprocess.DEVNULL,
            start_new_session=True,  # a process group of its own, so that it can kill all workers
        )
        self._server_end.close()
        return server
