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


def write(folder: Path, savings: dict[str, float | str], low: float = 0.5, high: float = 4.0) -> Path:
    interval = {"saving_low": low, "saving_high": high}
    rows = [
        {"pool": "easy", "target": target, "cause": cause, "saving": number, "saving_bound": bound, **interval}
        for cause, saving in savings.items()
        for bound, number in [(saving[0], float(saving[1:])) if isinstance(saving, str) else ("", saving)]
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
    shown = table.loc["selection", ["here", "interval", "seed-1", "cpu-avx2"]].tolist()
    assert shown == ["2.00", "[0.50, 4.00]", "1.50", "3.00"]
    assert table["direction_holds"].to_dict() == dict(zip(CAUSES, ("yes", "no", "yes", "unknown"), strict=True))
    assert table["value_holds"].to_dict() == dict(zip(CAUSES, ("yes", "yes", "no", "unknown"), strict=True))


def test_what_a_bound_leaves_open_is_unknown(tmp_path: Path) -> None:
    here = write(tmp_path / "here", {"selection": 2.0, "reuse": 2.0, "both": 2.0})
    there = write(tmp_path / "seed-1", {"selection": ">1.5", "reuse": "<3.0", "both": "<0.4"})
    table = compare(here, [there], 0.7).set_index("cause")
    assert table["seed-1"].tolist() == [">1.50", "<3.00", "<0.40"]
    assert table["direction_holds"].tolist() == ["yes", "unknown", "no"]
    assert table["value_holds"].tolist() == ["unknown", "unknown", "no"]


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
