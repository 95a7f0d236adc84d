"""Log an experiment's results folder to MLflow: what is there already stays, and what is missing is added.

Each run gets the metrics of training that were not logged live, its evaluation, its data sets and the path of its last
checkpoint. The parent run gets the configuration, figures, tables and the report. What was logged is known by a hash in
a tag: the same results again change nothing, and a run with other results is replaced.
"""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow.entities import Metric

from dopr.analysis.results import Results
from dopr.config.config_files import ConfigFiles
from dopr.config.schema import Config
from dopr.errors import UserError
from dopr.files import DataError, digest, read_json, sha256
from dopr.runtime.tracking import TrackedRun, pool_and_method
from dopr.runtime.tracking_store import Store, open_store
from dopr.tracking.datasets import log_datasets
from dopr.tracking.run_metrics import Point, Shown, evaluation_points, seconds_points

LOGGED = "dopr.logged"
FORMAT = "1"  # a new number logs every run anew
ATTACHED = ("figures", "tables", "ablations", "report.html", "data/provenance.json")


@dataclass(frozen=True)
class Logged:
    """What a call of log_results did.

    Attributes:
        store: Where the runs are.
        runs: Name of each run -> its MLflow id.
        new: The names of those that were not in the store in full.
    """

    store: Store
    runs: dict[str, str]
    new: list[str]


def log_results(root: Path, config_path: Path | None = None) -> Logged:
    """Log all that a results folder holds and the store does not.

    Runs that cannot be read cost a line each on stderr.

    Args:
        root: The results folder.
        config_path: The resolved configuration. None is the newest in the folder.

    Raises:
        One of TRACKING_ERRORS, if the store fails.
    """
    config_path = config_path or newest_config(root)
    shown = _shown(config_path)
    store = open_store(root / "store.json")
    runs, new = {}, []
    for name, folder in run_folders(root):
        try:
            run, is_new = _log_run(store, root, name, folder, shown)
        except UserError as error:
            print(f"warning: {name} is not logged: {error}", file=sys.stderr)
            continue
        runs[name] = run.id
        new += [name] if is_new else []
    _log_parent(store, root, config_path)
    return Logged(store, runs, new)


def newest_config(root: Path) -> Path | None:
    """Return the resolved configuration that was written last, if there is one."""
    return max((root / "configs").glob("*.json"), key=lambda path: path.stat().st_mtime, default=None)


def run_folders(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield the name and folder of each finished run, profiling included."""
    for path in sorted([*root.glob("profile/*/provenance.json"), *root.glob("train/*/*/*/provenance.json")]):
        name = path.parent.relative_to(root)
        yield str(name if name.parts[0] == "profile" else name.relative_to("train")), path.parent


def _shown(config_path: Path | None) -> Shown:
    if config_path is None:
        return Shown()
    try:
        raw = read_json(config_path)
        return Shown.of(Config.parse(raw, ConfigFiles({str(config_path): raw})))
    except UserError as error:
        print(f"warning: groups, targets and pass@k are not logged: {error}", file=sys.stderr)
        return Shown()


def _log_run(store: Store, root: Path, name: str, folder: Path, shown: Shown) -> tuple[TrackedRun, bool]:
    """Log one run, and return whether anything of it was missing.

    Raises:
        UserError: A file of the run is missing or damaged.
    """
    description = read_json(folder / "provenance.json")
    evaluations = [root / kind / name / "completions.parquet" for kind in ("evaluate", "validate")]
    files = [folder / "metrics.csv", folder / "seconds.csv", *evaluations]
    hashes = {str(path.relative_to(root)): sha256(path) for path in files if path.is_file()}
    logged = digest({**hashes, "shown": str(shown), "format": FORMAT})
    rows = _metrics(folder / "metrics.csv")
    run = TrackedRun(store, name, description)
    if run.tags.get(LOGGED) == logged:
        return run, False
    if LOGGED in run.tags:  # MLflow cannot take numbers back
        store.client.delete_run(run.id)
        run = TrackedRun(store, name, description)
    # Times of the files, not of the call: MLflow counts equal numbers of one time once, if this was interrupted before.
    timestamp = int(max(path.stat().st_mtime for path in files if path.is_file()) * 1000)
    run.log(rows, timestamp)
    points = list(_points(root, name, folder, evaluations, shown))
    run.log_metrics([Metric(point.name, point.value, timestamp, point.step) for point in points])
    log_datasets(run, root, pool_and_method(name)[0], description, evaluations[0].is_file())
    for key, value in _links(folder).items():
        store.client.set_tag(run.id, key, value)
    run.finish(rows, [folder / "metrics.csv", folder / "provenance.json"])
    store.client.set_tag(run.id, LOGGED, logged)
    return run, True


def _metrics(path: Path) -> list[dict[str, float]]:
    try:
        with path.open(newline="") as file:
            return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]
    except FileNotFoundError:
        raise DataError(f"{path}: no such file; run the stage that makes it") from None
    except (ValueError, TypeError):
        raise DataError(f"{path}: not a CSV file of numbers; delete it to have it made again") from None


def _points(root: Path, name: str, folder: Path, evaluations: Sequence[Path], shown: Shown) -> Iterator[Point]:
    """Yield the numbers of the evaluations that are there, and the seconds of training."""
    if name.startswith("profile/"):
        return
    pool, method, seed = name.split("/")
    run, steps = (pool, method, int(seed)), set[int]()
    for path in evaluations:
        if path.is_file():
            points = evaluation_points(Results(root, path.relative_to(root).parts[0]), run, shown)
            steps |= {point.step for point in points}
            yield from points
    if (folder / "seconds.csv").is_file():
        yield from seconds_points(Results(root), run, sorted(steps))


def _links(folder: Path) -> dict[str, str]:
    """Return tags that say where the run's results are; checkpoints are too large for copies."""
    checkpoints = sorted(folder.glob("checkpoints/step-*"))
    links = {"results": str(folder.resolve())}
    return links | ({"checkpoint": str(checkpoints[-1].resolve())} if checkpoints else {})


def _log_parent(store: Store, root: Path, config_path: Path | None) -> None:
    """Attach the configuration, figures, tables and report to the parent run, if they changed."""
    attached = [root / name for name in ATTACHED if (root / name).exists()]
    files = [
        path for top in attached for path in ([top] if top.is_file() else sorted(top.rglob("*"))) if path.is_file()
    ]
    config: dict[str, Any] = read_json(config_path) if config_path else {}
    logged = digest({**{str(path.relative_to(root)): sha256(path) for path in files}, "config": str(config)})
    parent = store.client.get_run(store.parent)
    if parent.data.tags.get(LOGGED) == logged:
        return
    for path in attached:
        if path.is_dir():
            store.client.log_artifacts(store.parent, str(path), path.name)
        else:
            store.client.log_artifact(store.parent, str(path))
    if config:
        store.client.log_dict(store.parent, config, "config.json")
    store.client.set_terminated(store.parent)
    store.client.set_tag(store.parent, LOGGED, logged)
