"""How the ranking forms, the public file behind it, and the command."""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dopr.analysis.accuracy_history import read_history
from dopr.cli import main
from dopr.data.public import LISTED, public_file
from dopr.figures.ranking import collect, spearman
from dopr.files import DataError, read_json
from test_historical_variance import DATA, RECORD, recorded

# --- the figure ---


def test_places_and_agreement_by_hand():
    """Variances after 2 visits: a 1/4, b 1/16, c 0; after 3: a 2/9, b and c both 1/18, in file order."""
    history = {"a": [0.0, 1.0, 0.0], "b": [0.5, 1.0, 1.0], "c": [0.5, 0.5, 1.0]}
    frame = collect(history, ["b", "c"], every=1)
    places = frame[frame["panel"] == "rank"]
    assert places[["visits", "prompt", "rank"]].to_numpy().tolist() == [
        [2, "b", 2],
        [2, "c", 3],
        [3, "b", 2],
        [3, "c", 3],
    ]
    agreement = frame[frame["panel"] == "agreement"]
    # After 3 visits b and c tie at 1/18, so the ranks are 3, 1.5, 1.5 against 3, 2, 1: a correlation of sqrt(3)/2.
    assert agreement["spearman"].tolist() == pytest.approx([np.sqrt(3) / 2, 1])
    assert agreement["overlap"].tolist() == [3, 3]


def test_spearman_is_that_of_scipy():
    stats = pytest.importorskip("scipy.stats")
    first, second = (pd.Series(np.random.default_rng(seed).integers(0, 9, 60)) for seed in (0, 1))
    assert spearman(first, second) == pytest.approx(stats.spearmanr(first, second).statistic)


@recorded
def test_the_public_ranking_forms_as_measured_before():
    """Spearman, places of prompts 124 and 682, and overlap after t visits, as worked out from the record elsewhere."""
    frame = collect(read_history(RECORD), ["124", "682"])
    expected = {
        8: (0.81, 676, 184, 0),
        16: (0.89, 688, 262, 2),
        24: (0.94, 717, 46, 4),
        32: (0.96, 195, 35, 7),
        36: (0.97, 8, 15, 10),
        40: (0.98, 2, 13, 12),
        44: (0.99, 1, 17, 12),
    }
    for visits, values in expected.items():
        rows = frame[frame["visits"] == visits]
        places = rows[rows["panel"] == "rank"]["rank"].tolist()
        (last,) = rows[rows["panel"] == "agreement"].itertuples()
        assert (round(last.spearman, 2), *places, last.overlap) == values
    final = frame[(frame["panel"] == "rank") & (frame["visits"] == 57)]
    assert dict(zip(final["prompt"], final["rank"], strict=True)) == {"124": 1, "682": 13}


# --- the public file ---


@pytest.fixture
def listed(tmp_path: Path) -> Path:
    """A list with one file, `numbers.json`, whose address is a file of this machine."""
    source = tmp_path / "far" / "numbers.json"
    source.parent.mkdir()
    source.write_text("[1]")
    entry = {"url": source.as_uri(), "path": "some/numbers.json", "sha256": hashlib.sha256(b"[1]").hexdigest()}
    (tmp_path / "public.json").write_text(json.dumps({"numbers.json": entry}))
    return tmp_path / "public.json"


@pytest.fixture(autouse=True)
def no_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DOPR_DATA", raising=False)


def test_a_file_is_fetched_once(listed: Path, tmp_path: Path):
    cache = tmp_path / "cache"
    path = public_file("numbers.json", None, cache, listed)
    assert (path, path.read_text()) == (cache / "numbers.json", "[1]")
    (tmp_path / "far" / "numbers.json").unlink()
    assert public_file("numbers.json", None, cache, listed) == path


def test_a_folder_takes_the_place_of_the_network(listed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    mirror = tmp_path / "mirror"
    with pytest.raises(DataError, match=r"some/numbers.json: no such file; get it from file:"):
        public_file("numbers.json", mirror, tmp_path, listed)
    (mirror / "some").mkdir(parents=True)
    (mirror / "some" / "numbers.json").write_text("[1]")
    assert public_file("numbers.json", mirror, tmp_path, listed) == mirror / "some" / "numbers.json"
    monkeypatch.setenv("DOPR_DATA", str(mirror))
    assert public_file("numbers.json", None, tmp_path, listed) == mirror / "some" / "numbers.json"


def test_another_content_is_refused(listed: Path, tmp_path: Path):
    (tmp_path / "far" / "numbers.json").write_text("[2]")
    with pytest.raises(DataError, match=r"numbers.json: has sha256 \w{64}, not \w{64}; delete it and get it from"):
        public_file("numbers.json", None, tmp_path / "cache", listed)


def test_what_cannot_be_fetched_or_is_not_listed_is_named(listed: Path, tmp_path: Path):
    (tmp_path / "far" / "numbers.json").unlink()
    with pytest.raises(DataError, match=r"cannot be fetched .* put the file into a folder as some/numbers.json"):
        public_file("numbers.json", None, tmp_path / "cache", listed)
    assert not (tmp_path / "cache").exists()
    with pytest.raises(DataError, match=r"does not list 'letters.json'; it lists numbers.json"):
        public_file("letters.json", None, tmp_path, listed)


def test_every_listed_file_has_a_pinned_address_and_a_hash():
    for entry in read_json(LISTED).values():
        assert re.search(r"/(21ed529|[0-9a-f]{40})/", entry["url"]), entry["url"]  # a commit, not a branch
        assert len(entry["sha256"]) == 64


@recorded
def test_the_listed_hash_is_that_of_the_public_record():
    assert public_file("acc_step_500.json", DATA) == RECORD


# --- the command ---


def test_the_command_prints_the_ranking_and_draws_how_it_forms(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    history = tmp_path / "history.json"
    history.write_text('{"a": [0, 1, 0], "b": [0.5, 0.5, 0.5], "c": [0.5, 1, 1]}')
    main(["ranking", str(history), "--top", "2", "--output", str(tmp_path / "ranking")])
    printed = capsys.readouterr().out
    assert "| 1 | a | 0.222222 | 0.333 | 3 |" in printed
    assert "| 3 |" not in printed.partition("| 2 | c")[2].splitlines()[1]
    assert "3 prompts; 1 of them with no variance at all." in printed
    assert {path.name for path in tmp_path.glob("ranking.*")} == {"ranking.pdf", "ranking.png", "ranking.csv"}
    with pytest.raises(SystemExit, match=r"error: --prompts: 'z' has no visits in .*; it has a, b, c"):
        main(["ranking", str(history), "--prompts", "z", "--output", str(tmp_path / "ranking")])


@recorded
def test_without_a_history_the_public_one_is_ranked(capsys: pytest.CaptureFixture[str]):
    main(["ranking", "--data", str(DATA), "--top", "1209"])
    rows = capsys.readouterr().out.splitlines()[2:]
    assert [rows[rank - 1].split(" | ")[1] for rank in (1, 2, 13, 1209)] == ["124", "267", "682", "789"]
