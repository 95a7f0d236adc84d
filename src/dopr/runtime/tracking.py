"""MLflow tracking on a local SQLite store: one MLflow run per training run, under one parent run.

Several jobs that open a new store at once break it, so one rule creates it (create_store). Jobs then log in batches at
their checkpoints. A run is found by its name: a resumed or repeated job continues its run, and a job with other
settings replaces it.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")

import mlflow.store.tracking.sqlalchemy_store  # noqa: F401 - here for forks (dopr.runtime.fork_server)
from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from dopr.errors import UserError
from dopr.files import read_json, write_json
from dopr.runtime.run_state import flatten

NAME, JOB, PARENT = "dopr.run", "dopr.job", "mlflow.parentRunId"
EVERY_SECONDS = 20.0  # a write costs as much as several steps of a small policy
BATCH = 1000  # the most metrics MLflow takes in one call


def create_store(path: Path, marker: Path, experiment: str) -> None:
    """Create the database, the experiment and its parent run if they are missing, and write their ids to `marker`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.INFO)  # MLflow logs the creation of every table
    client = MlflowClient(f"sqlite:///{path.resolve()}")
    existing = client.get_experiment_by_name(experiment)
    artefacts = (path.parent / "mlflow-artifacts").resolve().as_uri()
    experiment_id = existing.experiment_id if existing else client.create_experiment(experiment, artefacts)
    parents = client.search_runs([experiment_id], f"tags.`{NAME}` = 'experiment'")
    tags = {NAME: "experiment"}
    parent = parents[0] if parents else client.create_run(experiment_id, tags=tags, run_name="experiment")
    write_json(marker, {"database": path.name, "experiment": experiment_id, "parent": parent.info.run_id})


class Tracker:
    """The MLflow run of one training run."""

    def __init__(self, marker: Path, name: str, description: Mapping[str, Any]) -> None:
        """Find or create the run.

        Args:
            marker: The file that create_store wrote.
            name: The name of the run.
            description: The provenance of the run, logged as parameters.

        Raises:
            UserError: If the database was deleted.
        """
        store = read_json(marker)
        database = marker.parent / store["database"]
        if not database.is_file():
            raise UserError(f"{database} has gone; delete {marker} to have the tracking store made again")
        self.client = MlflowClient(f"sqlite:///{database.resolve()}")
        job = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]
        self.run = self._find(store, name, job) or self._create(store, name, job, description)
        self._written = time.monotonic()
        self.logged = int(self.run.data.metrics.get("step", 0))

    def log(self, rows: Sequence[Mapping[str, float]], patient: bool = False) -> None:
        """Log the metrics of the steps that were not logged yet.

        Args:
            rows: The metrics of all steps so far, each with its `step`.
            patient: Skip this call if the last write was less than EVERY_SECONDS ago.
        """
        if patient and time.monotonic() - self._written < EVERY_SECONDS:
            return
        self._written = time.monotonic()
        now = int(time.time() * 1000)
        new = [row for row in rows if row["step"] > self.logged]
        metrics = [Metric(key, value, now, int(row["step"])) for row in new for key, value in row.items()]
        for start in range(0, len(metrics), BATCH):
            self.client.log_batch(self.run.info.run_id, metrics[start : start + BATCH])
        self.logged = int(rows[-1]["step"]) if rows else self.logged

    def finish(self, rows: Sequence[Mapping[str, float]], artefacts: Sequence[Path]) -> None:
        """Log the remaining metrics, upload files and mark the run as finished."""
        self.log(rows)
        for path in artefacts:
            self.client.log_artifact(self.run.info.run_id, str(path))
        self.client.set_terminated(self.run.info.run_id)

    def _find(self, store: Mapping[str, str], name: str, job: str) -> Run | None:
        """Return the run of that name if it has the same settings; delete those with others."""
        for run in self.client.search_runs([store["experiment"]], f"tags.`{NAME}` = '{name}'"):
            if run.data.tags.get(JOB) == job:
                return run
            self.client.delete_run(run.info.run_id)
        return None

    def _create(self, store: Mapping[str, str], name: str, job: str, description: Mapping[str, Any]) -> Run:
        tags = {NAME: name, JOB: job, PARENT: store["parent"]}
        run = self.client.create_run(store["experiment"], tags=tags, run_name=name)
        values = {key: str(value)[:500] for key, value in flatten(dict(description)).items() if value is not None}
        params = [Param(key, value) for key, value in values.items() if value]
        for start in range(0, len(params), 100):
            self.client.log_batch(run.info.run_id, params=params[start : start + 100])
        self.client.log_batch(run.info.run_id, tags=[RunTag("mlflow.source.git.commit", str(description["commit"]))])
        return run
