"""A job that is a fork of a server must look to Snakemake like the script itself."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dopr.runtime.fork_server import ForkServers
from dopr.runtime.launch import run_in_fork, socket_path

SCRIPT = """
import os, sys, time
import slow_to_import

if __name__ == "__main__":
    what, *rest = sys.argv[1:]
    print("started", flush=True)
    if what == "report":
        print(rest, os.environ["COLOUR"], os.getcwd(), sys.stdin.read(), slow_to_import.IMPORTED_IN == os.getpid())
        print("a warning", file=sys.stderr)
    elif what == "exit":
        sys.exit(int(rest[0]) if rest[0].isdigit() else rest[0])
    elif what == "threads":
        print({pool["internal_api"]: pool["num_threads"] for pool in slow_to_import.threads()})
    elif what == "fail":
        raise KeyError(rest[0])
    elif what == "wait":
        open("process", "w").write(str(os.getpid()))
        time.sleep(60)
"""
IMPORTED = """
import os

import numpy
from threadpoolctl import threadpool_info as threads

IMPORTED_IN = os.getpid()
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / ".snakemake").mkdir()
    (tmp_path / "job.py").write_text(SCRIPT)
    (tmp_path / "slow_to_import.py").write_text(
        "import os\nimport numpy\nfrom threadpoolctl import threadpool_info as threads\nIMPORTED_IN = os.getpid()\n"
    )
    return tmp_path


@pytest.fixture
def servers(folder: Path, monkeypatch):
    """Servers, although another copy of the library is found first."""
    (folder / "another copy/dopr").mkdir(parents=True)
    (folder / "another copy/dopr/__init__.py").touch()
    monkeypatch.chdir(folder)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    paths = [str(folder / "another copy"), str(folder), *sys.path]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    running = ForkServers()
    running.start(["analysis", "torch"])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths[1:]))
    deadline = time.monotonic() + 20
    while not all(Path(socket_path(kind)).exists() for kind in ("analysis", "torch")):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    yield running
    running.stop()


def command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "dopr.runtime.launch", "analysis", str(Path("job").absolute()), *arguments]


def run(*arguments: str, **settings: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=60, **settings)


def wait_for(path: Path) -> str:
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return path.read_text()


def is_running(process: int) -> bool:
    stat = Path(f"/proc/{process}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"


def test_a_fork_has_the_arguments_environment_folder_and_streams_of_its_command(servers, folder):
    result = run("report", "a b", "c", input="text", env={**os.environ, "COLOUR": "green"})
    assert result.returncode == 0
    assert result.stdout == f"started\n['a b', 'c'] green {folder} text False\n"  # the server had imported the module
    assert result.stderr == "a warning\n"


@pytest.mark.parametrize(("code", "expected"), [("0", 0), ("3", 3), ("error: a bad file", 1)])
def test_the_exit_code_is_that_of_the_script(servers, code, expected):
    result = run("exit", code)
    assert result.returncode == expected
    assert result.stderr.strip() == ("" if code.isdigit() else code)


def test_an_exception_is_shown_with_its_traceback(servers):
    result = run("fail", "colour")
    assert result.returncode == 1
    assert "job.py" in result.stderr
    assert result.stderr.endswith("KeyError: 'colour'\n")


def test_a_fork_is_killed_with_its_command_and_reported_if_it_is_killed_itself(servers, folder):
    with subprocess.Popen(command("wait"), stdout=subprocess.DEVNULL) as waiting:
        process = int(wait_for(folder / "process"))
        waiting.kill()
    deadline = time.monotonic() + 20
    while is_running(process):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    (folder / "process").unlink()
    with subprocess.Popen(command("wait"), stdout=subprocess.DEVNULL) as waiting:
        os.kill(int(wait_for(folder / "process")), signal.SIGKILL)
        assert waiting.wait(timeout=20) == 128 + signal.SIGKILL


def test_several_forks_run_at_a_time_and_the_servers_end_after_the_last(servers, folder):
    with subprocess.Popen(command("wait"), stdout=subprocess.DEVNULL) as waiting:
        process = int(wait_for(folder / "process"))
        assert run("exit", "5").returncode == 5
        server = servers._processes[0]
        server.stdin.close()  # as when Snakemake is killed
        time.sleep(0.3)
        assert server.poll() is None
        os.kill(process, signal.SIGKILL)
        assert waiting.wait(timeout=20) == 128 + signal.SIGKILL
    assert server.wait(timeout=20) == 0


def test_a_command_that_ends_during_the_imports_gets_no_fork_and_the_server_lives(servers, folder):
    (folder / "slow_to_import.py").write_text(
        "import os, pathlib, time\npathlib.Path('importing').write_text('1')\ntime.sleep(1.5)\nIMPORTED_IN = 0\n"
    )
    with subprocess.Popen(command("wait"), stdout=subprocess.DEVNULL) as waiting:
        wait_for(folder / "importing")
        waiting.kill()
    assert run("exit", "6").returncode == 6
    assert not (folder / "process").exists()


def test_a_mistake_in_a_script_leaves_the_server_alive(servers, folder):
    (folder / "bad.py").write_text("undefined_name\n")
    bad = subprocess.run([*command()[:-1], str(folder / "bad")], capture_output=True, text=True, timeout=60)
    assert bad.returncode == 1
    assert "NameError" in bad.stderr
    assert run("exit", "6").returncode == 6


def test_without_a_server_the_command_runs_the_script_itself(folder, monkeypatch):
    monkeypatch.chdir(folder)
    monkeypatch.setenv("PYTHONPATH", f"{folder}{os.pathsep}{os.pathsep.join(sys.path)}")
    assert run("exit", "4").returncode == 4
    (folder / socket_path("analysis")).touch()  # left behind by a server that was killed
    assert run_in_fork(socket_path("analysis"), ["job.py", "exit", "4"]) is None
    assert run("report", input="text", env={**os.environ, "COLOUR": "green"}).stdout.endswith("text True\n")


def test_a_script_that_cannot_be_imported_says_so_itself(servers, folder):
    (folder / "job.py").write_text("import no_such_module\n")
    result = run("exit", "0")
    assert result.returncode == 1
    assert "No module named 'no_such_module'" in result.stderr
    (folder / "job.py").write_text("print('mended')\n")
    assert run().stdout == "mended\n"


def test_numpy_has_one_thread_in_a_fork_whatever_the_environment_says(servers):
    """The number of threads is read when NumPy is imported, which the server does, and it decides how sums round."""
    assert "'openblas': 1" in run("threads").stdout
