"""Recorded histories: both formats, and the probabilities a replay draws from."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dopr.analysis.accuracy_history import AccuracyHistory, read_history, smooth
from dopr.files import DataError
from test_historical_variance import RECORD, recorded


def test_an_accuracy_is_averaged_with_its_neighbours():
    assert smooth([0.0, 0.75, 0.75, 0.0]) == [0.375, 0.5, 0.5, 0.375]
    assert smooth([0.25]) == [0.25]
    assert smooth([]) == []


def test_visits_are_spread_over_the_recorded_run():
    record = AccuracyHistory({"a": (0.0, 0.75, 0.75, 0.0), "b": (0.5,), "c": ()}, steps=8)
    assert record.pool == ("a", "b")
    assert [record.probability("a", step) for step in range(10)] == [0.375] * 2 + [0.5] * 4 + [0.375] * 4
    assert {record.probability("b", step) for step in range(10)} == {0.5}
    assert record.probabilities("a", 10).tolist() == [0.375] * 2 + [0.5] * 4 + [0.375] * 4


def test_a_history_in_json_keeps_its_order(tmp_path: Path):
    path = tmp_path / "history.json"
    path.write_text(json.dumps({"z": [0, 0.5], "a": [], "m": [1]}))
    assert list(read_history(path).items()) == [("z", (0.0, 0.5)), ("a", ()), ("m", (1.0,))]


def test_a_ledger_is_read_group_by_group(tmp_path: Path):
    rows = {
        "prompt": ["b", "b", "a", "a", "a", "b"],
        "sample": [0, 1, 0, 1, 2, 0],
        "reward": [1.0, 0.0, 1.0, 1.0, 1.0, 0.0],
    }
    pq.write_table(pa.table(rows), tmp_path / "ledger.parquet")
    assert read_history(tmp_path / "ledger.parquet") == {"b": (0.5, 0.0), "a": (1.0,)}


def test_a_group_that_is_sampled_in_parts_is_one_visit(tmp_path: Path):
    # Two rollouts of each of a, b and c; then the rest of a, new ones of d, and at last the rest of c.
    rows = {
        "prompt": list("aabbccaaddcc"),
        "sample": [0, 1, 0, 1, 0, 1, 2, 3, 0, 1, 2, 3],
        "reward": [1.0, 0.0, 1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 1.0],
    }
    pq.write_table(pa.table(rows), tmp_path / "ledger.parquet")
    assert read_history(tmp_path / "ledger.parquet") == {"a": (0.25,), "b": (1.0,), "c": (0.75,), "d": (0.0,)}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "holds no visits"),
        ('{"a": []}', "holds no visits"),
        ("[1, 2]", "expected a JSON object of prompt id -> list of accuracies"),
        ('{"a": 0.5}', "expected a JSON object"),
        ('{"a": ["x"]}', "expected a JSON object"),
        ('{"a": [0.5, 1.5]}', r"prompt a: an accuracy of \(0.5, 1.5\) is not within 0..1"),
        ('{"a": [NaN]}', "is not within 0..1"),
        ("{", "not valid JSON"),
    ],
)
def test_a_damaged_history_is_named_with_what_is_wrong(tmp_path: Path, content: str, message: str):
    path = tmp_path / "history.json"
    path.write_text(content)
    with pytest.raises(DataError, match=message) as caught:
        read_history(path)
    assert str(caught.value).startswith(str(path))


@pytest.mark.parametrize("name", ["history.json", "ledger.parquet"])
def test_a_history_that_is_not_there_is_named(tmp_path: Path, name: str):
    with pytest.raises(DataError, match=f"{name}: no such file"):
        read_history(tmp_path / name)


@recorded
def test_the_public_record_is_read_whole():
    history = read_history(RECORD)
    assert (len(history), sum(map(len, history.values()))) == (1209, 64000)
    assert sum(accuracy in (0, 1) for visits in history.values() for accuracy in visits) / 64000 == pytest.approx(
        0.4897, abs=1e-4
    )
