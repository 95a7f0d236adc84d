"""What orchestration costs: seconds outside of steps from Snakemake's records; the large experiment that is planned."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from dag import overlay
from dopr.commands.overhead import overheads
from dopr.config.inheritance import merge
from dopr.config.schema import Config
from project import ROOT


def test_seconds_outside_of_steps_by_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two seeds share a job of 100 to 110 s with 3 + 4 s of steps; another method has one of 50 to 52 s with 1 s."""
    monkeypatch.chdir(tmp_path)
    runs = {"easy/grpo/0": (100, 109, 3), "easy/grpo/1": (100, 110, 4), "easy/dopr/0": (50, 52, 1)}
    Path(".snakemake/metadata").mkdir(parents=True)
    for run, (start, end, seconds) in runs.items():
        path = Path(f"results/train/{run}/seconds.csv")
        path.parent.mkdir(parents=True)
        path.write_text(f"step,cpu_seconds,wall_seconds,gpu_seconds\n1,9,1,0\n2,9,{seconds},0\n")
        name = base64.b64encode(str(path).encode(), b"-_").decode()
        Path(".snakemake/metadata", name).write_text(
            json.dumps({"starttime": start, "endtime": end, "log": [str(path.parents[1]) + ".log"]})
        )
    assert sorted(overheads()) == [1, 3]


@pytest.mark.parametrize("seeds", [5, 18])
def test_the_large_experiment_is_one(shipped: dict, seeds: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    config = Config.parse(merge(shipped, overlay(seeds)))
    assert (len(config.pools), len(config.methods), len(config.seeds)) == (10, 10, seeds)
    assert len({config.base_of(pool) for pool in config.pools}) == 10
    assert len(config.evaluated) == 6
