"""Run a script: as a fork of the server of its kind (dopr.runtime.fork_server), or in this process if there is none.

    python -m dopr.runtime.launch KIND NAME [ARGUMENT ...]

NAME is that of a program in scripts/, wherever this runs.

Ctrl-C reaches a fork by itself, since it belongs to the same process group.
"""

from __future__ import annotations

import json
import os
import runpy
import signal
import socket
import sys
from contextlib import suppress
from pathlib import Path

SCRIPTS = Path(__file__).parents[3] / "scripts"
LENGTH = 8  # bytes of the length of a request
STARTED = b"s"  # what a server sends when it has forked; the exit code, as text, follows at the end


def socket_path(kind: str) -> str:
    """Return the path of a server's socket, below the working directory: absolute paths may be too long for one."""
    return f".snakemake/dopr-{kind}.socket"


def main() -> None:
    """End with the exit code of the script."""
    kind, name, *arguments = sys.argv[1:]
    argv = [str(SCRIPTS / f"{name}.py"), *arguments]
    code = run_in_fork(socket_path(kind), argv)
    if code is None:
        sys.argv = argv
        name_process(argv[0])
        runpy.run_path(argv[0], run_name="__main__")
    else:
        sys.exit(code if code >= 0 else 128 - code)  # as shells do for a signal


def name_process(script: str) -> None:
    """Give this process the name of its script, which top shows; else all are called python."""
    with suppress(OSError):  # Linux alone has this file
        Path("/proc/self/comm").write_text(Path(script).name)


def run_in_fork(path: str, argv: list[str]) -> int | None:
    """Return the exit code of a server's fork, negative for a signal; None if no server has forked."""
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            connection.connect(path)
            send(connection, argv)
            started = connection.recv(len(STARTED))
        except OSError:  # no server, or one that ended
            return None
        if not started:
            return None
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        code = connection.recv(16)
    return int(code) if code else -signal.SIGKILL  # the server was killed, and with it all hope of the code


def send(connection: socket.socket, argv: list[str]) -> None:
    """Send what to run, where, and the standard streams."""
    umask = os.umask(0)
    os.umask(umask)
    request = {"argv": argv, "cwd": str(Path.cwd()), "env": dict(os.environ), "umask": umask}
    text = json.dumps(request).encode()
    socket.send_fds(connection, [str(len(text)).zfill(LENGTH).encode()], [0, 1, 2])
    connection.sendall(text)


if __name__ == "__main__":
    main()
