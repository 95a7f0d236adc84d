"""`dopr log`: what MLflow holds of a results folder, once, however often it is logged."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest

from dopr.analysis.results import Results
from dopr.cli import main
from dopr.files import read_json, sha256, write_json
from dopr.runtime.tracking import Tracker
from dopr.runtime.tracking_store import NAME, Store, create_store, open_store
from dopr.tracking.results_log import log_results
from fixture_results import config_file, make_results

RUN = "easy/random_one/1"


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return results with a configuration, figures, a checkpoint and an empty store."""
    root = make_results(tmp_path_factory.mktemp("log") / "results", methods=("grpo", "random_one"), seeds=(0, 1))
    (root / "configs").mkdir()
    config_file(root / "configs/0.json", evaluate={"targets": [0.5, 0.99]})
    for path in root.glob("train/*/*/*/provenance.json"):
        settings = read_json(path)["settings"]
        settings["recipe"] = settings["recipe"] | {"selector": "uniform", "learning_rate": 0.1}
        write_json(path, {"settings": settings, "commit": "abc", "seed": int(path.parent.name), "inputs": {}})
        (path.parent / "checkpoints/step-00000060").mkdir(parents=True)
    for name in ("figures/curve.png", "tables/main.html", "report.html"):
        (root / name).parent.mkdir(exist_ok=True)
        (root / name).write_text(name)
    questions = Results(root).completions("easy", "grpo", 0)[["benchmark", "prompt"]].drop_duplicates()
    rows = [{"id": q, "text": q, "answer": "1", "family": b} for b, q in questions.itertuples(index=False)]
    pd.DataFrame(rows).to_json(root / "data/test.jsonl", orient="records", lines=True)
    create_store(root / "mlflow.db", root / "store.json")
    return root


@pytest.fixture
def results(template: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(template, tmp_path / "results"))


def content(root: Path) -> dict[str, object]:
    """Return every run with its parameters, tags, inputs and histories of metrics, by name."""
    store = open_store(root / "store.json")
    runs = store.client.search_runs([store.experiment], f"tags.`{NAME}` != ''")
    return {
        run.data.tags[NAME]: (
            run.info.run_id,
            run.info.status,
            run.data.params,
            {key: value for key, value in run.data.tags.items() if key != "mlflow.user"},
            [(given.dataset.name, given.dataset.digest) for given in run.inputs.dataset_inputs],
            {key: history(store, run.info.run_id, key) for key in run.data.metrics},
            sorted(file.path for file in store.client.list_artifacts(run.info.run_id)),
        )
        for run in runs
    }


def history(store: Store, run_id: str, key: str) -> list[tuple[int, float]]:
    return sorted((each.step, each.value) for each in store.client.get_metric_history(run_id, key))


def run_of(root: Path, name: str):
    store = open_store(root / "store.json")
    [run] = store.client.search_runs([store.experiment], f"tags.`{NAME}` = '{name}'")
    return store, run


def test_a_run_has_its_accuracy_at_each_checkpoint_with_rollouts_beside_it(results: Path) -> None:
    log_results(results)
    store, run = run_of(results, RUN)
    frame = Results(results).completions("easy", "random_one", 1)
    for mode, measure in (("sampled", "accuracy"), ("greedy", "accuracy_greedy")):
        rows = frame[frame["mode"] == mode]
        by_benchmark = rows.groupby(["step", "benchmark"])["reward"].mean()
        means = by_benchmark.groupby("step").mean()
        assert [step for step, _ in history(store, run.info.run_id, f"{measure}/mean")] == list(means.index)
        assert [value for _, value in history(store, run.info.run_id, f"{measure}/mean")] == pytest.approx(list(means))
        last = by_benchmark.loc[means.index[-1]]
        assert run.data.metrics[f"{measure}/chain3"] == pytest.approx(last["chain3"])
        assert run.data.metrics[f"{measure}/near"] == pytest.approx((last["chain3"] + last["chain5"]) / 2)
    rollouts = dict(history(store, run.info.run_id, "rollouts"))
    evaluated = frame.drop_duplicates("step").set_index("step")["rollouts"]
    assert {step: rollouts[step] for step in evaluated.index} == evaluated.to_dict()
    seconds = Results(results).seconds("easy", "random_one", 1).set_index("step")["cpu_seconds"]
    assert run.data.metrics["cpu_seconds"] == pytest.approx(seconds.iloc[-1])
    assert run.data.metrics["tokens"] == Results(results).metrics("easy", "random_one", 1)["tokens"].iloc[-1]


def test_rollouts_to_a_target_are_there_if_it_is_reached(results: Path) -> None:
    log_results(results)
    store, run = run_of(results, RUN)
    curve = [value for _, value in history(store, run.info.run_id, "accuracy/mean")]
    rollouts = Results(results).completions("easy", "random_one", 1)["rollouts"].drop_duplicates().sort_values()
    after = next(i for i, value in enumerate(curve) if value >= 0.5)
    assert rollouts.iloc[after - 1] < run.data.metrics["rollouts_to_target/0.5"] <= rollouts.iloc[after]
    assert ("rollouts_to_target/0.99" in run.data.metrics) == (max(curve) >= 0.99)


def test_a_run_names_its_data_and_its_last_checkpoint(results: Path) -> None:
    log_results(results)
    _, run = run_of(results, RUN)
    digests = {given.dataset.name: given.dataset.digest for given in run.inputs.dataset_inputs}
    assert digests.keys() == {"easy", "chain3", "chain5", "word2"}
    assert digests["easy"] == sha256(results / "data/easy.jsonl")[:32]
    assert run.data.tags["checkpoint"] == str(results / f"train/{RUN}/checkpoints/step-00000060")
    tags = {"pool": "easy", "method": "random_one", "seed": "1", "selector": "uniform", "commit": "abc"}
    assert tags.items() <= run.data.tags.items()
    assert run.data.params["learning_rate"] == "0.1"


def test_the_parent_holds_configuration_figures_tables_and_report(results: Path) -> None:
    log_results(results)
    store, _ = run_of(results, RUN)
    held = {file.path for file in store.client.list_artifacts(store.parent)}
    assert held == {"config.json", "figures", "tables", "report.html"}
    [figure] = store.client.list_artifacts(store.parent, "figures")
    assert figure.path == "figures/curve.png"


def test_logging_twice_is_logging_once(results: Path) -> None:
    assert set(log_results(results).new) == {f"easy/{m}/{s}" for m in ("grpo", "random_one") for s in (0, 1)} | {
        "profile/easy"
    }
    before = content(results)
    assert log_results(results).new == []
    assert content(results) == before


def test_what_was_logged_live_stays_and_the_rest_is_added(results: Path) -> None:
    rows = Results(results).metrics("easy", "random_one", 1).to_dict("records")
    Tracker(results / "store.json", RUN, read_json(results / f"train/{RUN}/provenance.json")).log(rows[:100])
    _, live = run_of(results, RUN)
    log_results(results)
    store, run = run_of(results, RUN)
    assert run.info.run_id == live.info.run_id
    assert len(history(store, run.info.run_id, "reward")) == len(rows)
    assert run.info.status == "FINISHED"


def test_a_run_that_was_evaluated_again_is_replaced(results: Path) -> None:
    log_results(results)
    path = results / f"evaluate/{RUN}/completions.parquet"
    pd.read_parquet(path).assign(reward=1.0).to_parquet(path)
    assert log_results(results).new == [RUN]
    store, run = run_of(results, RUN)
    assert {round(value, 9) for _, value in history(store, run.info.run_id, "accuracy/mean")} == {1.0}


def test_a_damaged_run_costs_a_line_and_the_others_are_logged(
    results: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (results / f"train/{RUN}/metrics.csv").write_text("step,reward\n1,none\n")
    assert len(log_results(results).runs) == 4
    [line] = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {RUN} is not logged: ")


def test_the_command_says_what_it_did(results: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["log", str(results)])
    assert capsys.readouterr().out == f"5 runs in sqlite:///{results}/mlflow.db, 5 of them logged now\n"


def test_a_folder_without_runs_and_a_store_that_fails_cost_one_line(
    results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"^error: .*nothing: holds no finished run"):
        main(["log", str(tmp_path / "nothing")])
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(SystemExit, match=r"^error: MLflow: .*127\.0\.0\.1"):
        main(["log", str(results)])


def test_the_script_of_the_rule_succeeds_without_a_store(results: Path, tmp_path: Path) -> None:
    script = Path(__file__).parents[1] / "scripts/track.py"
    (results / "mlflow.db").write_text("no database" * 100)
    command = ["--config", str(results / "configs/0.json"), "--results", str(results)]
    done = subprocess.run(
        [sys.executable, str(script), *command, "--output", str(tmp_path / "tracked.json")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr.startswith("warning: MLflow does not have this experiment in full: ")
    assert read_json(tmp_path / "tracked.json") == {"store": None, "runs": {}}


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """Yield the address of an MLflow server on loopback."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    store = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path / "art")]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1", *store]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=dict(os.environ))
    try:
        wait_for_answer(f"http://127.0.0.1:{port}/health")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait()


def wait_for_answer(address: str, seconds: float = 200) -> None:
    for _ in range(int(seconds)):
        try:
            urllib.request.urlopen(address, timeout=5).close()
        except OSError:
            time.sleep(1)
        else:
            return
    raise TimeoutError(address)


@pytest.mark.slow
def test_a_named_server_is_used_as_it_stands(results: Path, server: str, monkeypatch: pytest.MonkeyPatch) -> None:
    (results / "mlflow.db").unlink()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)
    rows = Results(results).metrics("easy", "random_one", 1).to_dict("records")
    Tracker(results / "store.json", RUN, read_json(results / f"train/{RUN}/provenance.json")).finish(rows, [])
    assert len(log_results(results).new) == 5
    before = content(results)
    assert log_results(results).new == []
    assert content(results) == before
    _, run = run_of(results, RUN)
    assert "accuracy/mean" in run.data.metrics
    assert not (results / "mlflow.db").exists()
    other = Path(shutil.copytree(results, results.parent / "other"))
    assert len(log_results(other).new) == 5
    assert content(results).keys() == before.keys()
