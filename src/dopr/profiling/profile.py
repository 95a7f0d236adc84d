"""The results of a profiling run, which is GRPO on the whole pool: accuracy histories and their ranking."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa

from dopr.analysis.accuracy_history import groups_of
from dopr.files import write_atomically
from dopr.records import Prompt
from dopr.selection.parts.historical_variance import rank


def history_of(ledger: pa.Table, pool: Mapping[str, Prompt]) -> dict[str, list[float]]:
    """Return the accuracy of every visit, for all prompts of the pool in file order. A visit is a group."""
    history: dict[str, list[float]] = {prompt: [] for prompt in pool}
    for prompt, rewards in groups_of(*(ledger.column(name).to_pylist() for name in ("prompt", "sample", "reward"))):
        history[prompt].append(sum(rewards) / len(rewards))
    return history


def write_ranking(path: Path, history: Mapping[str, list[float]], pool: Mapping[str, Prompt]) -> None:
    """Write a CSV of rank, prompt, family, variance, mean and visits, with the highest historical variance first."""

    def write(temporary: Path) -> None:
        with temporary.open("w", newline="") as file:
            rows = csv.writer(file, lineterminator="\n")
            rows.writerow(["rank", "prompt", "family", "variance", "mean", "visits"])
            for row in rank(history):
                numbers = [f"{row.variance:.6f}", f"{row.mean:.6f}", row.visits]
                rows.writerow([row.rank, row.prompt, pool[row.prompt].family, *numbers])

    write_atomically(path, write)
