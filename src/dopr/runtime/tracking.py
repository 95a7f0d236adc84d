"""One MLflow run for each training run, logged while it trains.

Training never fails because of MLflow: after an error there is one warning, and nothing more is logged until `dopr log`
or the last rule of the workflow logs what is missing from the files of the run. Jobs log in batches at their
checkpoints. A run is found by its name: a resumed or repeated job continues its run, and a job with other settings
replaces it.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlflow.entities import Metric, Param, Run

from dopr.runtime.run_state import flatten
from dopr.runtime.tracking_store import NAME, PARENT, TRACKING_ERRORS, Store, open_store, warn

JOB = "dopr.job"
EVERY_SECONDS = 20.0  # a write costs as much as several steps of a small policy
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100  # MLflow's limits


class TrackedRun:
    """The MLflow run of one training run. Every method raises one of TRACKING_ERRORS if the store fails."""

    def __init__(self, store: Store, name: str, description: Mapping[str, Any]) -> None:
        """Find or create the run.

        Args:
            store: The store.
            name: The name of the run, POOL/METHOD/SEED.
            description: The provenance of the run, logged as parameters and tags.
        """
        self.store = store
        job = hashlib.sha256(json.dumps(description, sort_keys=True).encode()).hexdigest()[:16]
        run = find_run(store, name, job) or create_run(store, name, job, description)
        self.id, self.tags = str(run.info.run_id), dict(run.data.tags)
        self.logged = int(run.data.metrics.get("step", 0))

    def log(self, rows: Sequence[Mapping[str, float]], timestamp: int | None = None) -> None:
        """Log the metrics of the steps that were not logged yet.

        Args:
            rows: The metrics of all steps so far, each with its `step`.
            timestamp: Milliseconds since 1970. None is now.
        """
        now = int(time.time() * 1000) if timestamp is None else timestamp
        new = [row for row in rows if row["step"] > self.logged]
        steps_per_call = max(1, METRICS_PER_CALL // max(map(len, new), default=1))  # a step is logged as a whole
        for start in range(0, len(new), steps_per_call):
            batch = new[start : start + steps_per_call]
            self.log_metrics([Metric(key, value, now, int(row["step"])) for row in batch for key, value in row.items()])
            self.logged = int(batch[-1]["step"])

    def log_metrics(self, metrics: Sequence[Metric]) -> None:
        """Log any number of metrics."""
        for start in range(0, len(metrics), METRICS_PER_CALL):
            self.store.client.log_batch(self.id, metrics[start : start + METRICS_PER_CALL])

    def finish(self, rows: Sequence[Mapping[str, float]], artefacts: Sequence[Path]) -> None:
        """Log the remaining metrics, upload files and mark the run as finished."""
        self.log(rows)
        for path in artefacts:
            self.store.client.log_artifact(self.id, str(path))
        self.store.client.set_terminated(self.id)


class Tracker:
    """Logs a training run, and stops with one warning when the store fails."""

    def __init__(self, marker: Path, name: str, description: Mapping[str, Any]) -> None:
        """Open the store and find or create the run.

        Args:
            marker: The file that create_store wrote.
            name: The name of the run.
            description: The provenance of the run.
        """
        self.name, self.folder = name, marker.parent
        self.run: TrackedRun | None = None
        self._written = time.monotonic()
        with self._guarded():
            self.run = TrackedRun(open_store(marker), name, description)

    def log(self, rows: Sequence[Mapping[str, float]], patient: bool = False) -> None:
        """Log the metrics of the steps that were not logged yet.

        Args:
            rows: The metrics of all steps so far, each with its `step`.
            patient: Skip this call if the last write was less than EVERY_SECONDS ago.
        """
        if self.run and not (patient and time.monotonic() - self._written < EVERY_SECONDS):
            self._written = time.monotonic()
            with self._guarded():
                self.run.log(rows)

    def finish(self, rows: Sequence[Mapping[str, float]], artefacts: Sequence[Path]) -> None:
        """Log the remaining metrics, upload files and mark the run as finished."""
        if self.run:
            with self._guarded():
                self.run.finish(rows, artefacts)

    @contextmanager
    def _guarded(self) -> Iterator[None]:
        try:
            yield
        except TRACKING_ERRORS as error:
            self.run = None
            warn(self.name, self.folder, error)


def find_run(store: Store, name: str, job: str) -> Run | None:
    """Return the run of that name if it has the same settings.

    In a database of one folder, those with other settings are deleted. On a server they stay: others may read them.
    """
    query = f"tags.`{NAME}` = '{name}'"
    if store.shared:
        query += f" AND tags.`{PARENT}` = '{store.parent}'"
    same: Run | None = None
    for run in store.client.search_runs([store.experiment], query):
        if run.data.tags.get(JOB) == job:
            same = same or run
        elif not store.shared:
            store.client.delete_run(run.info.run_id)
    return same


def create_run(store: Store, name: str, job: str, description: Mapping[str, Any]) -> Run:
    """Create a run. Its parameters have the names they have in the configuration, those of a recipe without prefix."""
    run = store.client.create_run(store.experiment, tags=_tags(store, name, job, description), run_name=name)
    values = {
        key.removeprefix("settings.").removeprefix("recipe."): str(value)[:500]
        for key, value in flatten(dict(description)).items()
        if value is not None
    }
    params = [Param(key, value) for key, value in values.items() if value]
    for start in range(0, len(params), PARAMS_PER_CALL):
        store.client.log_batch(run.info.run_id, params=params[start : start + PARAMS_PER_CALL])
    return run


def _tags(store: Store, name: str, job: str, description: Mapping[str, Any]) -> dict[str, str]:
    pool, method = pool_and_method(name)
    flat = flatten(dict(description))
    commit = str(flat.get("commit", "unknown"))
    tags = {
        NAME: name,
        JOB: job,
        PARENT: store.parent,
        "mlflow.source.git.commit": commit,
        "pool": pool,
        "method": method,
        "seed": str(flat.get("seed", "")),
        "selector": str(flat.get("settings.recipe.selector", "")),
        "commit": commit,
    }
    return {key: value for key, value in tags.items() if value}


def pool_and_method(name: str) -> tuple[str, str]:
    """Return the pool and the method in the name of a run: POOL/METHOD/SEED, or profile/POOL."""
    first, _, rest = name.partition("/")
    return (rest, first) if first == "profile" else (first, rest.partition("/")[0])
