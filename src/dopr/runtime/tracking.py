"""MLflow tracking on a local SQLite store: one run per training run, under one parent.

A fresh store opened by several jobs at once breaks, so one rule creates it (create_store). After that jobs write in
batches at every checkpoint. A run is found again by its name: a resumed or repeated job continues its run, and a job
with other settings replaces it.
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

from mlflow.entities import Metric, Param, Run, RunTag
from mlflow.tracking import MlflowClient

from dopr.errors import UserError
from dopr.files import read_json, write_json
from dopr.runtime.run_state import flatten

NAME, JOB, PARENT = "dopr.run", "dopr.job", "mlflow.parentRunId"
EVERY_SECONDS = 20.0  # a write costs as much as several steps of a small policy
BATCH = 1000  # the most metrics MLflow takes in one call


def create_store(path: Path, marker: Path, experiment: str) -> None:
    """Make the database, the experiment and its parent run where they are missing, and note them in `marker`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    logging.disable(logging.INFO)  # the database's own account of its tables
    client = MlflowClient(f"sqlite:///{path.resolve()}")
    found = client.get_experiment_by_name(experiment)
    artefacts = (path.parent / "mlflow-artifacts").resolve().as_uri()
    identity = found.experiment_id if found else client.create_experiment(experiment, artefacts)
    parents = client.search_runs([identity], f"tags.`{NAME}` = 'experiment'")
    parent = parents[0] if parents else client.create_run(identity, tags={NAME: "experiment"}, run_name="experiment")
    write_json(marker, {"database": path.name, "experiment": identity, "parent": parent.info.run_id})


class Tracker:
    """One training run in the store."""

    def __init__(self, marker: Path, name: str, description: Mapping[str, Any]) -> None:
        """Find or open the run `name`; `description` is its provenance, logged as parameters.

        Raises:
            UserError: the store has gone.
        """
        store = read_json(marker)
        database = marker.parent / store["database"]
        if not database.is_file():
            raise UserError(f"{database} has gone; delete {marker} to have the tracking store made again")
        self.client = MlflowClient(f"sqlite:///{database.resolve()}")
        job = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]
        self.run = self._find(store, name, job) or self._open(store, name, job, description)
        self._written = time.monotonic()
        self.logged = int(self.run.data.metrics.get("step", 0))

    def log(self, rows: Sequence[Mapping[str, float]], patient: bool = False) -> None:
        """Log the metrics of all steps not logged before; when patient, only if the last time is a while ago."""
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
        """Log what is left, attach files and mark the run as finished."""
        self.log(rows)
        for path in artefacts:
            self.client.log_artifact(self.run.info.run_id, str(path))
        self.client.set_terminated(self.run.info.run_id)

    def _find(self, store: Mapping[str, str], name: str, job: str) -> Run | None:
        """The run of that name, if it is the same job's; one of another job is deleted."""
        for run in self.client.search_runs([store["experiment"]], f"tags.`{NAME}` = '{name}'"):
            if run.data.tags.get(JOB) == job:
                return run
            self.client.delete_run(run.info.run_id)
        return None

    def _open(self, store: Mapping[str, str], name: str, job: str, description: Mapping[str, Any]) -> Run:
        tags = {NAME: name, JOB: job, PARENT: store["parent"]}
        run = self.client.create_run(store["experiment"], tags=tags, run_name=name)
        values = {key: str(value)[:500] for key, value in flatten(dict(description)).items() if value is not None}
        params = [Param(key, value) for key, value in values.items() if value]
        for start in range(0, len(params), 100):
            self.client.log_batch(run.info.run_id, params=params[start : start + 100])
        self.client.log_batch(run.info.run_id, tags=[RunTag("mlflow.source.git.commit", str(description["commit"]))])
        return run
