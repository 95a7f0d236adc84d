"""The processes that compare answers: a server that has math-verify loaded, and the workers it forks.

    python -m dopr.grading.worker DESCRIPTOR PROFILE SECONDS MEMORY_MB

The server waits on a socket, and for each descriptor it is sent, forks a worker that serves the connection behind it:
a batch of `[reference, answer]` in, `[verdict, note]` out, one at a time. A fork takes milliseconds, so a worker is
cheap to lose. A worker that outruns its limits is ended by the kernel, even in the middle of a multiplication, and
whoever waits for it finds the connection closed. When the server's socket closes, it takes all its workers with it.
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
from typing import cast

from dopr.config.grading import ProfileName
from dopr.grading.guards import TooLargeError
from dopr.grading.rules import Rule, load

MESSAGE = 32  # bytes of a message to or from the server, filled with spaces
PATIENCE = 10  # seconds of waiting a worker is allowed for each second of computing
EXPECTED = (ValueError, TypeError, ArithmeticError, AttributeError, LookupError, AssertionError, RuntimeError)


def judge(rule: Rule, reference: str, answer: str) -> tuple[str, str]:
    """The verdict of a pair, and what there is to say about an error."""
    try:
        return rule(reference, answer), ""
    except (TooLargeError, MemoryError, RecursionError):
        return "timeout", ""
    except EXPECTED as error:
        return "error", f"{type(error).__name__}: {ascii(str(error))[1:-1]}"[:300]


def serve(connection: Connection, rule: Rule, seconds: float, memory: int) -> None:
    """Judge batches until the connection closes."""
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    while True:
        try:
            pairs = json.loads(connection.recv_bytes())
        except EOFError:
            return
        for reference, answer in pairs:
            # No handlers: they would wait for the arithmetic to end. The default action ends the process.
            signal.setitimer(signal.ITIMER_PROF, seconds)
            signal.setitimer(signal.ITIMER_REAL, PATIENCE * (seconds + 1))
            verdict = judge(rule, reference, answer)
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)
            connection.send_bytes(json.dumps(verdict).encode())


def fork(descriptor: int, control: socket.socket, rule: Rule, seconds: float, memory: int) -> int:
    """Start a worker; its process id."""
    process = os.fork()
    if process:
        return process
    control.close()
    try:
        serve(Connection(descriptor), rule, seconds, memory)
    except (BrokenPipeError, ConnectionResetError):
        pass  # nobody waits any more
    finally:
        os._exit(0)


def main() -> None:
    """Fork a worker for each descriptor; a message is the id of the process it replaces, or 0."""
    control = socket.socket(fileno=int(sys.argv[1]))
    seconds, memory = float(sys.argv[3]), int(sys.argv[4]) * 2**20
    logging.disable(logging.WARNING)  # math-verify warns that its own timeouts are off
    rule = load(cast(ProfileName, sys.argv[2]))
    rule("0.5", r"\frac{3}{6}")  # what is compiled and cached here, every worker has
    gc.freeze()
    while True:
        message, descriptors, _, _ = socket.recv_fds(control, MESSAGE, 1)
        if not message:
            os.killpg(0, signal.SIGKILL)  # the workers, and this
        replaced = int(message)
        ended = os.waitpid(replaced, 0)[1] if replaced else 0
        process = fork(descriptors[0], control, rule, seconds, memory)
        os.close(descriptors[0])
        control.sendall(f"{os.WTERMSIG(ended)} {process}".ljust(MESSAGE).encode())


if __name__ == "__main__":
    main()
