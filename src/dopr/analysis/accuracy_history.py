"""Accuracy histories: of a profiling run, a ledger, another trainer's log, or the public one of 1-shot RLVR."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from dopr.files import DataError, read_json
from dopr.integrations.rewards_log import read_groups

AccuracyHistories = dict[str, tuple[float, ...]]  # prompt id -> accuracy of each visit
SMOOTHING_WINDOW = 3  # visits


def read_history(path: Path) -> AccuracyHistories:
    """Read a history from JSON (an object of lists), a ledger (.parquet) or a log of rewards (.jsonl).

    Returns:
        Prompt id -> accuracy of each visit, in file order.

    Raises:
        DataError: If the file is missing or damaged, has no visits, or an accuracy is not in [0, 1].
    """
    read = {".parquet": _from_ledger, ".jsonl": _from_rewards_log}.get(path.suffix, _from_json)
    history = read(path)
    for prompt, accuracies in history.items():
        if not all(0 <= accuracy <= 1 for accuracy in accuracies):
            raise DataError(f"{path}: prompt {prompt}: an accuracy of {accuracies} is not within 0..1")
    if not any(history.values()):
        raise DataError(f"{path}: holds no visits; expected prompt ids with lists of accuracies")
    return history


def _from_json(path: Path) -> AccuracyHistories:
    raw = read_json(path)
    try:
        return {str(prompt): tuple(map(float, accuracies)) for prompt, accuracies in raw.items()}
    except (AttributeError, TypeError, ValueError):
        raise DataError(f"{path}: expected a JSON object of prompt id -> list of accuracies") from None


def _from_ledger(path: Path) -> AccuracyHistories:
    """Read a ledger. A visit is a group of rows; sample 0 is the first row of a group."""
    from dopr.parquet_files import read_parquet  # here, so that a replay of the other formats needs NumPy alone

    table = read_parquet(path, ["prompt", "sample", "reward"])
    starts = np.flatnonzero(table.column("sample").to_numpy() == 0)
    rewards, prompts = table.column("reward").to_numpy(), table.column("prompt").to_pylist()
    history: dict[str, list[float]] = {}
    for start, end in zip(starts, [*starts[1:], len(rewards)], strict=True):
        history.setdefault(prompts[start], []).append(float(rewards[start:end].mean()))
    return {prompt: tuple(accuracies) for prompt, accuracies in history.items()}


def _from_rewards_log(path: Path) -> AccuracyHistories:
    """Read what a selector in another trainer logged (dopr.integrations)."""
    history: dict[str, list[float]] = {}
    for logged in read_groups(path):
        group = logged.group
        history.setdefault(group.prompt, []).append(sum(group.rewards) / len(group.rewards))
    return {prompt: tuple(accuracies) for prompt, accuracies in history.items()}


class AccuracyHistory:
    """The success probability of each visited prompt as a function of the step.

    It is the recorded accuracy, smoothed over three neighbouring visits. A prompt's visits are assumed to be spread
    evenly over the recorded run.

    Args:
        history: Prompt id -> accuracy of each visit. Prompts without visits are left out.
        steps: The number of simulated steps that the recorded run is stretched to.
    """

    def __init__(self, history: Mapping[str, Sequence[float]], steps: int) -> None:
        self.curves = {prompt: smooth(accuracies) for prompt, accuracies in history.items() if len(accuracies)}
        self.pool = tuple(self.curves)
        self.steps = steps

    def probability(self, prompt: str, step: int) -> float:
        """Return the success probability at a step, counted from 0; after the recorded run, its last value."""
        curve = self.curves[prompt]
        return curve[min(len(curve) - 1, step * len(curve) // self.steps)]

    def probabilities(self, prompt: str, steps: int) -> np.ndarray:
        """Return the success probability of a prompt at each of the first steps, [steps]."""
        curve = np.array(self.curves[prompt])
        return curve[np.minimum(len(curve) - 1, np.arange(steps) * len(curve) // self.steps)]


def smooth(accuracies: Sequence[float]) -> list[float]:
    """Return the centred mean over three visits; over two at the ends."""
    half = SMOOTHING_WINDOW // 2
    windows = (accuracies[max(0, i - half) : i + half + 1] for i in range(len(accuracies)))
    return [sum(window) / len(window) for window in windows]
