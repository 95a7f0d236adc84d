"""The fleet's benchmark: counts by the ledger, runs that do not disturb each other, and what it refuses."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import fleet
from dopr.config.schema import Config
from fleet import FleetError, Plan, check_methods, compare, rollouts, wait_for


def plan(config: Config, folder: Path) -> Plan:
    return Plan(config, ("random_one", "dopr_cold"), 4, folder)


def test_runs_go_through_methods_first_and_seeds_next(config: Config, tmp_path: Path) -> None:
    names = [plan(config, tmp_path).name(number) for number in range(4)]
    assert names == ["random_one/0", "dopr_cold/0", "random_one/1", "dopr_cold/1"]


@pytest.mark.parametrize("method", ["grpo", "dopr_profile"])
def test_only_methods_with_one_prompt_and_no_profile_are_measured(config: Config, method: str) -> None:
    with pytest.raises(FleetError, match=f"--methods: {method} takes several prompts a step or needs a profile"):
        check_methods(config, ["random_one", method])


def test_rollouts_are_the_ledgers(tmp_path: Path) -> None:
    pq.write_table(pa.table({"reward": [0.0, 1.0, 1.0]}), tmp_path / "ledger.parquet")
    assert rollouts(tmp_path) == 3


def test_a_run_that_differs_from_itself_alone_is_named(config: Config, tmp_path: Path) -> None:
    for folder in ("alone", "together"):
        for name in ("random_one/0", "dopr_cold/0"):
            (tmp_path / folder / name).mkdir(parents=True)
            for file in ("ledger.parquet", "metrics.csv"):
                (tmp_path / folder / name / file).write_text(name)
    compare(plan(config, tmp_path), 2)
    (tmp_path / "together/dopr_cold/0/metrics.csv").write_text("another")
    compare(plan(config, tmp_path), 1)
    with pytest.raises(FleetError, match=r"dopr_cold/0/metrics\.csv is not what it is alone"):
        compare(plan(config, tmp_path), 2)


def test_a_process_that_fails_ends_those_that_wait_for_it() -> None:
    context = multiprocessing.get_context("fork")
    gate = context.Event()
    waiting, failing = context.Process(target=gate.wait), context.Process(target=os._exit, args=(3,))
    waiting.start()
    failing.start()
    with pytest.raises(FleetError, match="exit code 3"):
        wait_for([waiting, failing])
    waiting.join()
    assert waiting.exitcode == -15


@pytest.mark.slow
def test_runs_at_once_give_the_bytes_of_runs_alone(capsys: pytest.CaptureFixture[str]) -> None:
    fleet.main(["--at-once", "2", "--steps", "8"])
    rows = [line.split("|") for line in capsys.readouterr().out.splitlines() if line.endswith("| yes |")]
    assert [int(row[1]) for row in rows] == [2]
    assert all(float(row[column]) > 0 for row in rows for column in (2, 3, 4))
