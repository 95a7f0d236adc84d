"""The ledger: a row for every rollout, parts that resume where a checkpoint stands, one file at the end."""

from __future__ import annotations

import pyarrow.parquet as pq

from dopr.training.ledger import SCHEMA, Ledger
from fixture_rollouts import make_rollout


def steps_of(ledger: Ledger, path) -> list[int]:
    ledger.write(path)
    return pq.read_table(path)["step"].to_pylist()


def record(folder, steps: range, every: int = 2) -> Ledger:
    """A ledger with two rollouts a step, flushed every few steps."""
    ledger = Ledger(folder, "easy/grpo/0", steps.start)
    for step in steps:
        ledger.add(
            step, [make_rollout(f"p{step}", sample=0), make_rollout(f"p{step}", sample=1, verdict="wrong")], "train"
        )
        if (step + 1) % every == 0:
            ledger.flush(step + 1)
    return ledger


def test_a_row_by_hand(tmp_path):
    ledger = Ledger(tmp_path / "parts", "easy/dopr/3", 0)
    rollout = make_rollout("easy-0007", sample=2, tokens=(4, 5, 6, 7), finish="length", verdict="unparsed")
    ledger.add(11, [rollout], "train")
    ledger.flush(12)
    ledger.write(tmp_path / "ledger.parquet")
    table = pq.read_table(tmp_path / "ledger.parquet")
    assert table.schema.equals(SCHEMA)
    assert table.to_pylist() == [
        {
            "run": "easy/dopr/3",
            "phase": "train",
            "step": 11,
            "prompt": "easy-0007",
            "sample": 2,
            "prompt_tokens": 2,
            "completion_tokens": 4,
            "reward": 0.0,
            "verdict": "unparsed",
            "finish": "length",
        }
    ]


def test_parts_are_joined_in_the_order_of_steps(tmp_path):
    ledger = record(tmp_path / "parts", range(12))
    assert len(list((tmp_path / "parts").iterdir())) == 6
    assert steps_of(ledger, tmp_path / "ledger.parquet") == [step for step in range(12) for _ in range(2)]


def test_a_resumed_run_drops_what_lies_beyond_its_checkpoint_and_ends_with_the_same_bytes(tmp_path):
    whole = record(tmp_path / "whole", range(8))
    record(tmp_path / "stopped", range(7))  # flushed after 6 steps; the seventh is lost
    resumed = record(tmp_path / "stopped", range(4, 8))  # its checkpoint was older still
    assert steps_of(resumed, tmp_path / "resumed.parquet") == steps_of(whole, tmp_path / "whole.parquet")
    assert (tmp_path / "resumed.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_what_lies_beyond_the_checkpoint_is_gone_at_once(tmp_path):
    record(tmp_path / "parts", range(8))
    resumed = Ledger(tmp_path / "parts", "easy/grpo/0", 4)
    assert steps_of(resumed, tmp_path / "ledger.parquet") == [0, 0, 1, 1, 2, 2, 3, 3]


def test_a_flush_writes_each_row_once_even_when_there_is_none(tmp_path):
    ledger = Ledger(tmp_path / "parts", "r", 0)
    ledger.add(0, [make_rollout()], "train")
    ledger.flush(1)
    ledger.flush(2)
    assert steps_of(ledger, tmp_path / "ledger.parquet") == [0]


def test_a_leftover_of_a_killed_write_is_no_part(tmp_path):
    ledger = record(tmp_path / "parts", range(4))
    (tmp_path / "parts" / ".00000004.parquet.123.part").write_bytes(b"half")
    assert steps_of(ledger, tmp_path / "ledger.parquet") == [0, 0, 1, 1, 2, 2, 3, 3]
    assert Ledger(tmp_path / "parts", "r", 4)
