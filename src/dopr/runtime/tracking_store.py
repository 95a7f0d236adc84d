"""The MLflow store of an experiment: the server of MLFLOW_TRACKING_URI, or a SQLite database beside the results.

An experiment is one parent run with a child for each training run. Its ids are looked up in the store in use, so that
a deleted database or another server needs no repair. The MLflow experiment is MLFLOW_EXPERIMENT_NAME, or `dopr`.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # MLflow's defaults wait minutes for a dead server
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")

import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - here for forks (dopr.runtime.fork_server)
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from sqlalchemy.exc import SQLAlchemyError

from dopr.files import DataError, read_json, write_json

TRACKING_ERRORS = (MlflowException, SQLAlchemyError, sqlite3.Error, OSError)
NAME, PARENT, FOLDER = "dopr.run", "mlflow.parentRunId", "dopr.folder"
DATABASE, EXPERIMENT = "mlflow.db", "dopr"
LOCK_SECONDS = 10.0  # how long a locked database is waited for

for logger in ("mlflow", "alembic", "urllib3.connectionpool"):
    logging.getLogger(logger).setLevel(logging.CRITICAL)  # an error is one line, from `warn`


@dataclass(frozen=True)
class Store:
    """An open store.

    Attributes:
        client: The connection.
        experiment: Id of the MLflow experiment.
        parent: Id of the parent run.
        shared: Whether it is a server, where other folders may have runs of the same names.
    """

    client: MlflowClient
    experiment: str
    parent: str
    shared: bool


def create_store(path: Path, marker: Path, experiment: str = EXPERIMENT) -> None:
    """Write `marker`, which names the database, and create all that is missing in the store.

    If the store cannot be opened there is a warning alone: the jobs try again.
    """
    write_json(marker, {"database": path.name, "name": experiment})
    try:
        open_store(marker)
    except TRACKING_ERRORS as error:
        warn("this experiment", marker.parent, error)


def open_store(marker: Path) -> Store:
    """Open the store, and create or restore the experiment and its parent run if they are missing.

    Args:
        marker: The file that create_store wrote. If it is missing or damaged, the names are the default ones.

    Raises:
        One of TRACKING_ERRORS, if the store cannot be read or written.
    """
    names = {}
    with suppress(DataError):
        names = read_json(marker)
    folder = marker.parent.resolve()
    server = os.environ.get("MLFLOW_TRACKING_URI", "")
    with _locked(folder / ".mlflow.lock"):
        database = folder / names.get("database", DATABASE)
        if not server:
            _check_database(database)
        client = MlflowClient(server or f"sqlite:///{database}")
        name = os.environ.get("MLFLOW_EXPERIMENT_NAME") or names.get("name", EXPERIMENT)
        experiment = _experiment(client, name, None if server else (folder / "mlflow-artifacts").as_uri())
        return Store(client, experiment, _parent(client, experiment, folder, bool(server)), bool(server))


def warn(what: str, folder: Path, error: Exception) -> None:
    """Print to stderr, in one line, what is not logged, why, and how to log it later."""
    print(
        f"warning: MLflow does not have {what} in full: {reason_of(error, folder)}; results are not affected, "
        f"and `dopr log {folder}` logs them later",
        file=sys.stderr,
        flush=True,
    )


def reason_of(error: Exception, folder: Path) -> str:
    """Return the line of an error's message that says what happened; SQLAlchemy adds others."""
    lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("(raised as a result")]
    reason = lines[0].strip() if lines else type(error).__name__
    return reason.replace("<database_uri>", f"sqlite:///{folder / DATABASE}")


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock: jobs that create a database at once break it. On a disk without locks, go on without one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w") as lock:
        with suppress(OSError):
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _check_database(path: Path) -> None:
    """Wait for a locked database, and raise sqlite3.Error if it stays locked or is damaged; MLflow waits minutes."""
    if path.is_file():
        connection = sqlite3.connect(path, timeout=LOCK_SECONDS)
        try:
            connection.execute("SELECT count(*) FROM sqlite_master")
        except sqlite3.Error as error:
            raise type(error)(f"{path}: {error}") from error
        finally:
            connection.close()


def _experiment(client: MlflowClient, name: str, artefacts: str | None) -> str:
    found = client.get_experiment_by_name(name)
    if found is None:
        return str(client.create_experiment(name, artefacts))
    if found.lifecycle_stage == "deleted":
        client.restore_experiment(found.experiment_id)
        print(f"MLflow: experiment {name!r} was deleted; it is restored", file=sys.stderr, flush=True)
    return str(found.experiment_id)


def _parent(client: MlflowClient, experiment: str, folder: Path, shared: bool) -> str:
    """Return the parent run. On a server it belongs to a folder; a database of one folder may move with it."""
    project = hashlib.sha256(str(folder).encode()).hexdigest()[:16]
    query = f"tags.`{NAME}` = 'experiment'" + (f" AND tags.`{FOLDER}` = '{project}'" if shared else "")
    if found := client.search_runs([experiment], query):
        return str(found[0].info.run_id)
    tags = {NAME: "experiment", FOLDER: project, "results": str(folder)}
    return str(client.create_run(experiment, tags=tags, run_name="experiment").info.run_id)
