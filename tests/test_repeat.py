"""The table of repetitions says which directions and values hold elsewhere."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from snakemake.utils import update_config

from dopr.config.schema import Config
from dopr.errors import UserError
from project import ROOT
from repeat import RUN_SEEDS, TABLE, compare, copy_project, overlay, run

CAUSES = ("selection", "reuse", "both", "not here")


def write(folder: Path, savings: dict[str, float], low: float = 0.5, high: float = 4.0) -> Path:
    rows = [
        {"pool": "easy", "target": target, "cause": cause, "saving": saving, "saving_low": low, "saving_high": high}
        for cause, saving in savings.items()
        for target in (0.6, 0.7)
    ]
    (folder / TABLE).parent.mkdir(parents=True)
    pd.DataFrame(rows).to_csv(folder / TABLE, index=False)
    return folder


def test_a_direction_holds_on_one_side_of_1_and_a_value_within_the_interval_printed_here(tmp_path: Path) -> None:
    here = write(tmp_path / "here", {"selection": 2.0, "reuse": 0.9, "both": 3.0, "not here": 1.5})
    there = [
        write(tmp_path / "seed-1", {"selection": 1.5, "reuse": 1.2, "both": 5.0}, low=0.1, high=9.0),
        write(tmp_path / "cpu-avx2", {"selection": 3.0, "reuse": 0.8, "both": 2.0, "not here": 1.5}),
    ]
    table = compare(here, there, 0.7).set_index("cause")
    assert table.loc["selection", ["saving", "seed-1", "cpu-avx2"]].tolist() == [2.0, 1.5, 3.0]
    assert table["direction_holds"].to_dict() == dict(zip(CAUSES, (True, False, True, False), strict=True))
    assert table["value_holds"].to_dict() == dict(zip(CAUSES, (True, True, False, False), strict=True))


def test_a_repetition_redraws_data_policy_and_runs(raw: dict) -> None:
    shipped = Config.parse(raw)
    update_config(raw, overlay(2))
    config = Config.parse(raw)
    assert config.data.seed == config.base.warm_start.seed == 2
    assert not config.base.warm_start.shipped
    assert config.seeds == [10, 11, 12, 13, 14]
    assert len(config.seeds) == RUN_SEEDS
    assert not set(config.seeds) & set(shipped.seeds)
    assert config.recipes == shipped.recipes


def test_a_copy_has_the_tracked_files_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)
    copy_project(tmp_path / "copy")
    assert (tmp_path / "copy/workflow/Snakefile").read_bytes() == (ROOT / "workflow/Snakefile").read_bytes()
    assert not (tmp_path / "copy/.git").exists()
    assert [path.name for path in (tmp_path / "copy/results").iterdir()] == ["README.md"]


def test_results_here_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"credit\.csv: no such file; run the experiment here first"):
        run(None)
