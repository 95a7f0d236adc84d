"""A process that has done the imports of jobs, and forks itself for each job.

Importing PyTorch, transformers and MLflow takes ten seconds of processor time here, and a job of the embedded task
little more: of 2,000 CPU-seconds of the default experiment, 700 were imports. So Snakemake's first process starts idle
servers (ForkServers), one for each kind of job. The first job of a kind makes its server import what the job's script
imports. Each job is then a fork, which finds the modules in place. dopr.runtime.launch is the other side, the command
of a job; without a server it runs the script itself.

A fork takes over the job's arguments, environment, working directory and streams. It ends with the job's exit code. If
the command is killed, its fork is. If Snakemake is killed, the server ends after its last fork.
"""

from __future__ import annotations

import gc
import importlib.util
import json
import os
import runpy
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dopr.runtime.launch import LENGTH, STARTED, name_process, socket_path


class ForkServers:
    """The servers of a Snakemake run."""

    def __init__(self) -> None:
        self._processes: list[subprocess.Popen[bytes]] = []

    def start(self, kinds: Sequence[str]) -> None:
        """Start a server for each kind of job; it waits, without imports, for the first.

        It uses the library that this process uses, whatever other copy is installed: that one's hash is noted.
        """
        paths = [str(Path(__file__).parents[2]), *filter(None, [os.environ.get("PYTHONPATH")])]
        # As the workflow's jobs. NumPy's products depend on the number of threads, which it reads when it is imported.
        one_thread = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        environment = {**os.environ, **one_thread, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUTF8": "1"}
        for kind in kinds:
            command = [sys.executable, "-m", "dopr.runtime.fork_server", kind]
            self._processes.append(subprocess.Popen(command, stdin=subprocess.PIPE, env=environment))

    def stop(self) -> None:
        """End the servers, and wait for them."""
        for process in self._processes:
            process.communicate()
        self._processes.clear()


@dataclass(frozen=True)
class Request:
    """What a job's command asks for: a script, its arguments, and where to run it."""

    argv: list[str]
    cwd: str
    env: dict[str, str]
    umask: int
    streams: list[int]

    @classmethod
    def receive(cls, connection: socket.socket) -> Request:
        """Read a request, and the file descriptors of the three standard streams."""
        head, streams, _, _ = socket.recv_fds(connection, LENGTH, 3)
        text = b""
        while len(text) < int(head):
            part = connection.recv(int(head) - len(text))
            if not part:
                raise ConnectionError("the command ended before it had sent its request")
            text += part
        return cls(**json.loads(text), streams=list(streams))

    def take_over(self) -> None:
        """Make this process that of the command."""
        for target, stream in enumerate(self.streams):
            os.dup2(stream, target)
            os.close(stream)
        os.chdir(self.cwd)
        os.umask(self.umask)
        os.environ.clear()
        os.environ.update(self.env)
        sys.argv = self.argv
        name_process(self.argv[0])


class Server:
    """Accepts requests until standard input ends, and forks for each."""

    def __init__(self, kind: str) -> None:
        self._path = Path(socket_path(kind)).absolute()
        self._path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(socket_path(kind))
        self._listener.listen()
        self._jobs: dict[socket.socket, tuple[int, int]] = {}  # connection -> (process, its descriptor)
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(sys.stdin.fileno(), selectors.EVENT_READ)
        self._preloaded: set[str] = set()
        self._open = True

    def serve(self) -> Request | None:
        """Fork for each request. Return the request in the fork, and None in the server at its end."""
        while self._open or self._jobs:
            for key, _ in self._selector.select():
                source: Any = key.fileobj
                if source is self._listener:
                    if request := self._accept():
                        return request
                elif source in self._jobs:  # its command ended
                    os.kill(self._jobs[source][0], signal.SIGKILL)
                    self._selector.unregister(source)
                elif key.data:
                    self._finish(key.data)
                else:  # Snakemake ended
                    self._open = False
                    self._path.unlink(missing_ok=True)
                    self._selector.unregister(source)
                    self._selector.unregister(self._listener)
        return None

    def _accept(self) -> Request | None:
        connection, _ = self._listener.accept()
        try:
            request = Request.receive(connection)
        except (ConnectionError, ValueError):
            connection.close()
            return None
        self._preload(request.argv[0])
        if has_ended(connection):  # during the imports
            for stream in request.streams:
                os.close(stream)
            connection.close()
            return None
        process = os.fork()
        if process == 0:
            self._close_inherited(connection)
            request.take_over()
            return request
        for stream in request.streams:
            os.close(stream)
        with suppress(OSError):  # it ended just now, which the next round sees
            connection.sendall(STARTED)
        descriptor = os.pidfd_open(process)
        self._jobs[connection] = process, descriptor
        self._selector.register(connection, selectors.EVENT_READ)
        self._selector.register(descriptor, selectors.EVENT_READ, connection)
        return None

    def _preload(self, script: str) -> None:
        """Import what a script imports, by running it under another name than __main__."""
        if script in self._preloaded:
            return
        self._preloaded.add(script)
        spec = importlib.util.spec_from_file_location("preloaded", script)
        if spec and spec.loader:
            try:
                spec.loader.exec_module(importlib.util.module_from_spec(spec))
            except Exception:
                return  # the fork meets it again, and tells its user
        # The objects of modules live as long as the process: no garbage collection of a fork need look at them, which
        # takes a second for so many and copies their memory.
        gc.collect()
        gc.freeze()

    def _finish(self, connection: socket.socket) -> None:
        process, descriptor = self._jobs.pop(connection)
        self._selector.unregister(descriptor)
        os.close(descriptor)
        code = os.waitstatus_to_exitcode(os.waitpid(process, 0)[1])
        if connection in self._selector.get_map():
            self._selector.unregister(connection)
            with suppress(OSError):
                connection.sendall(str(code).encode())
        connection.close()

    def _close_inherited(self, connection: socket.socket) -> None:
        """Close what a fork has no use for; a command waits until the last copy of its connection is closed."""
        self._selector.close()
        self._listener.close()
        connection.close()
        for other, (_, descriptor) in self._jobs.items():
            other.close()
            os.close(descriptor)


def has_ended(connection: socket.socket) -> bool:
    """Return whether the other side of a connection is closed."""
    try:
        return not connection.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False


def run(script: str) -> int:
    """Run a script as the main program, and return the exit code of its sys.exit; an exception ends Python as usual."""
    try:
        runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        if isinstance(end.code, str):
            print(end.code, file=sys.stderr)
        return end.code if isinstance(end.code, int) else int(end.code is not None)
    return 0


def main() -> None:
    """Serve, and run the script of a request in each fork."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the jobs; the server ends with Snakemake
    if request := Server(sys.argv[1]).serve():
        signal.signal(signal.SIGINT, signal.default_int_handler)
        code = run(request.argv[0])
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)  # Python would take another second to take all modules down


if __name__ == "__main__":
    main()
