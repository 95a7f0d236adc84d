"""The MLflow store: many writers, continued runs, replaced runs."""

import subprocess
import sys
from pathlib import Path

import pytest
from mlflow.tracking import MlflowClient

from dopr.errors import UserError
from dopr.files import read_json
from dopr.runtime.tracking import NAME, Tracker, create_store

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
    create_store(folder / "mlflow.db", folder / "store.json", "dopr")
    return folder / "store.json"


def client(marker: Path) -> MlflowClient:
    return MlflowClient(f"sqlite:///{marker.parent / 'mlflow.db'}")


def runs(marker: Path, name: str) -> list:
    return client(marker).search_runs([read_json(marker)["experiment"]], f"tags.`{NAME}` = '{name}'")


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
    before = read_json(store)
    create_store(store.parent / "mlflow.db", store, "dopr")
    assert read_json(store) == before
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
    Tracker(store, "nested", {"commit": "abc", "settings": {"recipe": {"clip": 0.2}}, "versions": {"torch": "2"}})
    [run] = runs(store, "nested")
    assert run.data.tags["mlflow.parentRunId"] == read_json(store)["parent"]
    assert run.data.tags["mlflow.source.git.commit"] == "abc"
    assert run.data.params["settings.recipe.clip"] == "0.2"
    assert run.data.params["versions.torch"] == "2"


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


def test_a_vanished_store_is_named(tmp_path: Path) -> None:
    create_store(tmp_path / "mlflow.db", tmp_path / "store.json", "dopr")
    (tmp_path / "mlflow.db").unlink()
    with pytest.raises(UserError, match=r"mlflow\.db has gone; delete .*store\.json"):
        Tracker(tmp_path / "store.json", "any", {"commit": "abc"})
