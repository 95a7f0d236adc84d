"""Recorded reward histories: of our own profiling runs, of any ledger, and the public one of 1-shot RLVR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq

from dopr.files import DataError, read_json

Recorded = dict[str, tuple[float, ...]]
SMOOTHED = 3  # visits


def read_history(path: Path) -> Recorded:
    """Prompt id -> accuracy of each visit, in file order, from JSON (an object of lists) or from a ledger (.parquet).

    Raises:
        DataError: the file is missing or damaged, holds no visits, or an accuracy is not within 0..1.
    """
    history = _from_ledger(path) if path.suffix == ".parquet" else _from_json(path)
    for prompt, accuracies in history.items():
        if not all(0 <= accuracy <= 1 for accuracy in accuracies):
            raise DataError(f"{path}: prompt {prompt}: an accuracy of {accuracies} is not within 0..1")
    if not any(history.values()):
        raise DataError(f"{path}: holds no visits; expected prompt ids with lists of accuracies")
    return history


def _from_json(path: Path) -> Recorded:
    raw = read_json(path)
    try:
        return {str(prompt): tuple(map(float, accuracies)) for prompt, accuracies in raw.items()}
    except (AttributeError, TypeError, ValueError):
        raise DataError(f"{path}: expected a JSON object of prompt id -> list of accuracies") from None


def _from_ledger(path: Path) -> Recorded:
    """A visit is a group: it begins where the samples are counted from 0 again."""
    if not path.is_file():
        raise DataError(f"{path}: no such file")
    table = pq.read_table(path, columns=["prompt", "sample", "reward"])
    begins = np.flatnonzero(table.column("sample").to_numpy() == 0)
    rewards, prompts = table.column("reward").to_numpy(), table.column("prompt").to_pylist()
    history: dict[str, list[float]] = {}
    for begin, end in zip(begins, [*begins[1:], len(rewards)], strict=True):
        history.setdefault(prompts[begin], []).append(float(rewards[begin:end].mean()))
    return {prompt: tuple(accuracies) for prompt, accuracies in history.items()}


class AccuracyHistory:
    """Success probabilities over the course of the run that was recorded, for the prompts it visited.

    Each is the recorded accuracy, averaged over three neighbouring visits; visits are taken to be spread evenly over
    the run.
    """

    def __init__(self, history: Mapping[str, Sequence[float]], steps: int) -> None:
        """steps: of the replay that the recorded run, from first to last visit, is laid over."""
        visited = {prompt: smooth(accuracies) for prompt, accuracies in history.items() if len(accuracies)}
        self.steps = steps
        self.pool = tuple(visited)
        self.curves = visited

    def probability(self, prompt: str, step: int) -> float:
        """Of success, at a step counted from 0; after the record's end, as at its end."""
        curve = self.curves[prompt]
        return curve[min(len(curve) - 1, step * len(curve) // self.steps)]

    def informative(self, size: int, steps: int) -> np.ndarray:
        """Expected informative groups of `size` rollouts from each prompt, one a step, summed over steps: [prompts]."""
        found = np.zeros(len(self.pool))
        for place, curve in enumerate(self.curves.values()):
            at = np.minimum(len(curve) - 1, np.arange(steps) * len(curve) // self.steps)
            found[place] = np.array([informative_share(probability, size) for probability in curve])[at].sum()
        return found


def smooth(accuracies: Sequence[float]) -> list[float]:
    """Centred mean over three visits; over two at the ends."""
    half = SMOOTHED // 2
    windows = (accuracies[max(0, i - half) : i + half + 1] for i in range(len(accuracies)))
    return [sum(window) / len(window) for window in windows]


def informative_share(probability: float, size: int) -> float:
    """Probability that rewards of a group of `size` differ: 1 - p^G - (1 - p)^G."""
    return 1 - float(probability**size) - float((1 - probability) ** size)
