"""Profiling: each prompt's accuracy per visit, and the ranking written from it."""

from __future__ import annotations

import pyarrow.parquet as pq

from dopr.profiling.profile import history_of, write_ranking
from dopr.training.ledger import Ledger
from fixture_rollouts import make_prompt, make_rollout

POOL = {name: make_prompt(name, family=family) for name, family in {"a": "eq1", "b": "mul2", "c": "big1"}.items()}


def ledger_of(tmp_path, steps: list[list[tuple[str, str]]]):
    """A real ledger of groups of four, each given as its prompt and verdicts (1 is correct)."""
    ledger = Ledger(tmp_path / "parts", "profile/easy", 0)
    for step, groups in enumerate(steps):
        for prompt, rewards in groups:
            verdicts = ["correct" if reward == "1" else "wrong" for reward in rewards]
            group = [make_rollout(prompt, sample=i, verdict=v) for i, v in enumerate(verdicts)]
            ledger.add(step, group, "profile")
        ledger.flush(step + 1)
    ledger.write(tmp_path / "ledger.parquet")
    return pq.read_table(tmp_path / "ledger.parquet")


def test_a_history_by_hand(tmp_path):
    table = ledger_of(tmp_path, [[("b", "1000"), ("a", "1111")], [("a", "1100"), ("b", "0000")]])
    assert history_of(table, POOL) == {"a": [1.0, 0.5], "b": [0.25, 0.0], "c": []}


def test_two_groups_of_one_prompt_in_a_step_are_two_visits(tmp_path):
    table = ledger_of(tmp_path, [[("a", "1000"), ("a", "1110")]])
    assert history_of(table, POOL)["a"] == [0.25, 0.75]


def test_a_history_is_in_file_order_whatever_the_order_of_visits(tmp_path):
    table = ledger_of(tmp_path, [[("c", "0000"), ("b", "1111"), ("a", "0000")]])
    assert list(history_of(table, POOL)) == ["a", "b", "c"]


def test_groups_may_have_different_sizes(tmp_path):
    table = ledger_of(tmp_path, [[("a", "1000"), ("b", "10")], [("a", "1")]])
    assert history_of(table, POOL) == {"a": [0.25, 1.0], "b": [0.5], "c": []}


def test_the_ranking_by_hand(tmp_path):
    # a: (1 - 3/4)^2 = 1/16. b: mean 1/4, variance (1/16 + 1/16 + 1/4) / 3 = 1/8. c was never visited.
    write_ranking(tmp_path / "ranking.csv", {"a": [1.0, 0.5], "b": [0.0, 0.0, 0.75], "c": []}, POOL)
    assert (tmp_path / "ranking.csv").read_text().splitlines() == [
        "rank,prompt,family,variance,mean,visits",
        "1,b,mul2,0.125000,0.250000,3",
        "2,a,eq1,0.062500,0.750000,2",
    ]
