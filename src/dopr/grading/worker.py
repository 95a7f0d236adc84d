"""The processes that compare answers: a server that has imported what it needs, and the workers that it forks.

    python -m dopr.grading.worker DESCRIPTOR RULE SECONDS MEMORY_MB

The server waits on a socket. For each descriptor that it receives, it forks a worker that serves the connection behind
it. A worker reads a batch of `[reference, answer]` and writes `[verdict, score, note]` one at a time. A fork takes
milliseconds, so losing a worker costs little. The kernel ends a worker that exceeds its limits, even in the middle of a
multiplication. The process that waits for it then finds the connection closed. When the server's socket closes, the
server kills all its workers and itself.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import resource
import signal
import socket
import sys
from multiprocessing.connection import Connection

from dopr.grading.rules import Rule, load

MESSAGE = 32  # bytes of a message to or from the server, padded with spaces
WALL_FACTOR = 10  # seconds of wall-clock time that a worker has for each second of processor time
EXPECTED = (ValueError, TypeError, ArithmeticError, AttributeError, LookupError, AssertionError, RuntimeError)


def compare(rule: Rule, reference: str, answer: str) -> tuple[str, float, str]:
    """Return the verdict of a pair, its score, and the message of an error or empty text."""
    try:
        result = rule(reference, answer)
    except (MemoryError, RecursionError):
        return "timeout", 0.0, ""
    except EXPECTED as error:
        return "error", 0.0, f"{type(error).__name__}: {ascii(str(error))[1:-1]}"[:300]
    if isinstance(result, float):
        return ("correct" if result == 1 else "wrong"), result, ""
    return result, float(result == "correct"), ""


def serve(connection: Connection, rule: Rule, seconds: float, memory: int) -> None:
    """Compare batches of pairs until the connection closes."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    while True:
        try:
            pairs = json.loads(connection.recv_bytes())
        except EOFError:
            return
        for reference, answer in pairs:
            # No signal handlers: they would wait for the arithmetic to end. The default action ends the process.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, WALL_FACTOR * (seconds + 1))
            graded = compare(rule, reference, answer)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send_bytes(json.dumps(graded).encode())


def fork(descriptor: int, control: socket.socket, rule: Rule, seconds: float, memory: int) -> int:
    """Start a worker and return its process id."""
    process = os.fork()
    if process:
        return process
    control.close()
    try:
        serve(Connection(descriptor), rule, seconds, memory)
    except (BrokenPipeError, ConnectionResetError):
        pass  # the pool is closed
    finally:
        os._exit(0)


def main() -> None:
    """Fork a worker for each descriptor. A message has the id of the process that it replaces, or 0."""
    control = socket.socket(fileno=int(sys.argv[1]))
    seconds, memory = float(sys.argv[3]), int(sys.argv[4]) * 2**20
    logging.disable(logging.WARNING)  # math-verify warns that its own timeouts are off
    rule = load(sys.argv[2])
    compare(rule, "0.5", r"\frac{3}{6}")  # fills caches, which all workers inherit
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE, 1)
        if not message:
            os.killpg(0, signal.SIGKILL)  # the workers and this process
        replaced = int(message)
        status = os.waitpid(replaced, 0)[1] if replaced else 0
        process = fork(descriptors[0], control, rule, seconds, memory)
        os.close(descriptors[0])
        control.sendall(f"{os.WTERMSIG(status)} {process}".ljust(MESSAGE).encode())


if __name__ == "__main__":
    main()
