"""The MLflow store: many writers, continued runs, replaced runs, and trouble that must not stop training."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from dopr.files import read_json
from dopr.runtime import tracking_store
from dopr.runtime.tracking import Tracker
from dopr.runtime.tracking_store import NAME, create_store, open_store

WRITER = """
import sys
from pathlib import Path
from dopr.runtime.tracking import Tracker
marker, name = Path(sys.argv[1]), sys.argv[2]
tracker = Tracker(marker, name, {"commit": "abc", "seed": int(name)})
for start in range(0, 300, 100):
    tracker.log([{"step": step + 1, "reward": step / 300, "length": 9.0} for step in range(start + 100)])
tracker.finish([{"step": 300, "reward": 1.0, "length": 9.0}], [])
"""


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    create_store(folder / "mlflow.db", folder / "store.json")
    return folder / "store.json"


@pytest.fixture
def own_store(store: Path, tmp_path: Path) -> Path:
    """Return the marker of a store that a test may damage; this process has not opened it, and so has no cache."""
    shutil.copy(store.parent / "mlflow.db", tmp_path)
    return Path(shutil.copy(store, tmp_path))


def client(marker: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{marker.parent / 'mlflow.db'}")


def runs(marker: Path, name: str) -> list:
    return client(marker).search_runs([open_store(marker).experiment], f"tags.`{NAME}` = '{name}'")


def steps_of(marker: Path, name: str) -> list[int]:
    [run] = runs(marker, name)
    return [metric.step for metric in client(marker).get_metric_history(run.info.run_id, "reward")]


def test_four_jobs_logging_at_once_lose_nothing(store: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(store), str(i)]) for i in range(4)]
    assert [writer.wait(timeout=120) for writer in writers] == [0, 0, 0, 0]
    for i in range(4):
        assert sorted(steps_of(store, str(i))) == list(range(1, 301))
        assert runs(store, str(i))[0].info.status == "FINISHED"


def test_creating_the_store_twice_keeps_one_experiment_and_one_parent(store: Path) -> None:
    before = read_json(store), open_store(store).experiment, open_store(store).parent
    create_store(store.parent / "mlflow.db", store)
    assert (read_json(store), open_store(store).experiment, open_store(store).parent) == before
    assert len(runs(store, "experiment")) == 1


def test_a_resumed_job_continues_its_run_and_logs_each_step_once(store: Path) -> None:
    rows = [{"step": step, "reward": 0.5} for step in range(1, 11)]
    Tracker(store, "resumed", {"commit": "abc"}).log(rows[:6])
    Tracker(store, "resumed", {"commit": "abc"}).log(rows)
    assert sorted(steps_of(store, "resumed")) == list(range(1, 11))


def test_a_job_with_other_settings_replaces_its_run(store: Path) -> None:
    Tracker(store, "changed", {"commit": "abc", "rate": 1}).log([{"step": 1, "reward": 0.1}])
    Tracker(store, "changed", {"commit": "abc", "rate": 2}).log([{"step": 1, "reward": 0.9}])
    [run] = runs(store, "changed")
    assert run.data.params["rate"] == "2"
    assert run.data.metrics["reward"] == 0.9


def test_runs_lie_under_the_parent_with_nested_settings_as_parameters(store: Path) -> None:
    Tracker(
        store, "nested", {"commit": "abc", "settings": {"rollout": {"engine": "torch"}}, "versions": {"torch": "2"}}
    )
    [run] = runs(store, "nested")
    assert run.data.tags["mlflow.parentRunId"] == open_store(store).parent
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    assert run.data.params["rollout.engine"] == "torch"
    assert run.data.params["versions.torch"] == "2"


@pytest.mark.parametrize(
    ("name", "pool", "method"), [("easy/grpo/3", "easy", "grpo"), ("profile/easy", "easy", "profile")]
)
def test_a_run_is_found_by_pool_method_seed_selector_and_commit(store: Path, name: str, pool: str, method: str) -> None:
    recipe = {"selector": "uniform", "learning_rate": 0.1, "loss": {"kl": 0.5}}
    Tracker(store, name, {"commit": "abc", "seed": 3, "settings": {"recipe": recipe}})
    [run] = runs(store, name)
    tags = {"pool": pool, "method": method, "seed": "3", "selector": "uniform", "commit": "abc"}
    assert tags.items() <= run.data.tags.items()
    assert {"learning_rate": "0.1", "loss.kl": "0.5", "seed": "3"}.items() <= run.data.params.items()


def test_a_patient_log_waits_and_finish_writes_what_is_left(store: Path, tmp_path: Path) -> None:
    rows = [{"step": step, "reward": 0.5} for step in (1, 2)]
    tracker = Tracker(store, "patient", {"commit": "abc"})
    tracker.log(rows, patient=True)
    assert steps_of(store, "patient") == []
    (tmp_path / "metrics.csv").write_text("step\n1\n")
    tracker.finish(rows, [tmp_path / "metrics.csv"])
    assert sorted(steps_of(store, "patient")) == [1, 2]
    [run] = runs(store, "patient")
    assert [file.path for file in client(store).list_artifacts(run.info.run_id)] == ["metrics.csv"]


def test_a_deleted_database_is_made_again(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (own_store.parent / "mlflow.db").unlink()
    Tracker(own_store, "any/grpo/0", {"commit": "abc"}).finish([{"step": 1, "reward": 0.5}], [])
    assert steps_of(own_store, "any/grpo/0") == [1]
    assert capsys.readouterr().err == ""


def test_a_deleted_experiment_is_restored_with_one_line(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    client(own_store).delete_experiment(open_store(own_store).experiment)
    Tracker(own_store, "any/grpo/0", {"commit": "abc"}).finish([{"step": 1, "reward": 0.5}], [])
    assert steps_of(own_store, "any/grpo/0") == [1]
    assert capsys.readouterr().err == "MLflow: experiment 'dopr' was deleted; it is restored\n"


def test_a_run_deleted_while_it_trains_costs_one_warning(own_store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tracker = Tracker(own_store, "easy/grpo/0", {"commit": "abc"})
    [run] = runs(own_store, "easy/grpo/0")
    client(own_store).delete_run(run.info.run_id)
    tracker.log([{"step": 1, "reward": 0.5}])
    tracker.log([{"step": 2, "reward": 0.5}])
    tracker.finish([{"step": 3, "reward": 0.5}], [])
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith("warning: MLflow does not have easy/grpo/0 in full: ")
    assert line.endswith(f"results are not affected, and `dopr log {own_store.parent}` logs them later")


def test_a_database_that_is_locked_for_a_moment_is_waited_for(own_store: Path) -> None:
    writer = sqlite3.connect(own_store.parent / "mlflow.db", check_same_thread=False)
    writer.execute("BEGIN EXCLUSIVE")
    unlocking = threading.Timer(1, writer.rollback)
    unlocking.start()
    Tracker(own_store, "any/grpo/0", {"commit": "abc"}).finish([{"step": 1, "reward": 0.5}], [])
    unlocking.join()
    writer.close()
    assert steps_of(own_store, "any/grpo/0") == [1]


def lock(database: Path) -> None:
    connection = sqlite3.connect(database)
    connection.execute("BEGIN EXCLUSIVE")
    LOCKS.append(connection)


def use_other_version(database: Path) -> None:
    with sqlite3.connect(database) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0a8213491aaa'")
    connection.close()


LOCKS: list[sqlite3.Connection] = []


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lock, "mlflow.db: database is locked"),
        (use_other_version, "found version 0a8213491aaa, but expected"),
        (lambda database: database.write_text("no database" * 100), "mlflow.db: file is not a database"),
    ],
)
def test_a_store_that_cannot_be_used_costs_one_warning(
    own_store: Path,
    damage: Callable[[Path], object],
    reason: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracking_store, "LOCK_SECONDS", 0.1)
    damage(own_store.parent / "mlflow.db")
    started = time.monotonic()
    tracker = Tracker(own_store, "easy/grpo/0", {"commit": "abc"})
    tracker.finish([{"step": 1, "reward": 0.5}], [])
    while LOCKS:
        LOCKS.pop().close()
    assert time.monotonic() - started < 10
    [line] = capsys.readouterr().err.splitlines()
    assert reason in line
    assert "`dopr log " in line


def test_a_server_that_does_not_answer_costs_one_warning(
    own_store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    Tracker(own_store, "easy/grpo/0", {"commit": "abc"}).finish([{"step": 1, "reward": 0.5}], [])
    [line] = capsys.readouterr().err.splitlines()
    assert "127.0.0.1" in line
