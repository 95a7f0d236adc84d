"""Accuracy histories: of a profiling run, a ledger, another trainer's log, or the public one of 1-shot RLVR."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
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
    """Read a ledger. A visit is a group."""
    from dopr.parquet_files import read_parquet  # here, so that a replay of the other formats needs NumPy alone

    table = read_parquet(path, ["prompt", "sample", "reward"])
    history: dict[str, list[float]] = {}
    for prompt, rewards in groups_of(*(table.column(name).to_pylist() for name in table.column_names)):
        history.setdefault(prompt, []).append(sum(rewards) / len(rewards))
    return {prompt: tuple(accuracies) for prompt, accuracies in history.items()}


def groups_of(
    prompts: Iterable[str], samples: Iterable[int], rewards: Iterable[float]
) -> list[tuple[str, list[float]]]:
    """Return prompt and rewards of each group of a ledger, in the order in which the groups begin.

    Sample 0 begins a group. A selector may have the others sampled in later steps, between those of other groups.
    """
    groups: dict[str, list[list[float]]] = {}
    found: list[tuple[str, list[float]]] = []
    for prompt, sample, reward in zip(prompts, samples, rewards, strict=True):
        of_prompt = groups.setdefault(prompt, [])
        group = next((group for group in reversed(of_prompt) if len(group) == sample), None) if sample else None
        if group is None:
            of_prompt.append(group := [])
            found.append((prompt, group))
        group.append(reward)
    return found


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
