"""The numbers of one run that are known after its evaluation, by training step."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from dopr.analysis.pass_at_k import pass_at_k
from dopr.analysis.results import Results
from dopr.analysis.rollouts_to_target import first_crossing
from dopr.analysis.scores import Evaluation, load_evaluation
from dopr.analysis.statistics import FloatArray, even_weights
from dopr.config.schema import Config

Mask = NDArray[np.bool_]
MEAN = "mean"
REFUSED = re.compile(r"[^\w\-./ :]")  # by MLflow in names


@dataclass(frozen=True)
class Point:
    """One number of a run, after some training steps."""

    name: str
    value: float
    step: int


@dataclass(frozen=True)
class Shown:
    """What is shown of an evaluation.

    Attributes:
        groups: Group of benchmarks -> its benchmarks.
        targets: Accuracies whose rollouts are counted.
        pass_at: Values of k in pass@k.
    """

    groups: Mapping[str, Sequence[str]] = field(default_factory=dict)
    targets: Sequence[float] = ()
    pass_at: Sequence[int] = ()

    @classmethod
    def of(cls, config: Config) -> Shown:
        """Return what a configuration asks for."""
        return cls(config.data.benchmarks, config.evaluate.targets, [k for k in config.evaluate.pass_at if k > 1])


def evaluation_points(results: Results, run: tuple[str, str, int], shown: Shown) -> list[Point]:
    """Return the accuracies of a run at each checkpoint, and the rollouts to each target.

    The names are MEASURE/BENCHMARK, MEASURE/GROUP and MEASURE/mean, where the measure is `accuracy` (sampled),
    `accuracy_greedy` or `pass_at_K`. Those of validation questions begin with `validation_`. A target that the run does
    not reach has no number.

    Args:
        results: The results folder, with the evaluations to read.
        run: Pool, method and seed.
        shown: Groups, targets and pass@k.

    Raises:
        DataError: The completions are missing or damaged.
    """
    pool, method, seed = run
    evaluation = load_evaluation(results, pool, method, [seed])
    tested = results.evaluations == "evaluate"
    prefix = "" if tested else "validation_"
    points = [
        Point(f"{prefix}{measure}/{REFUSED.sub('_', name)}", float(value), int(step))
        for measure, values in _measures(evaluation, shown.pass_at)
        for name, mask in _masks(evaluation, shown.groups)
        for step, value in zip(evaluation.steps, _means(evaluation, values, mask), strict=True)
        if np.isfinite(value)
    ]
    if tested:
        points += [Point(name, 0.0, 0) for name in ("rollouts", "tokens")]  # so that curves over them begin at 0
        points += _targets(evaluation, shown.targets)
    return points


def seconds_points(results: Results, run: tuple[str, str, int], steps: Sequence[int]) -> list[Point]:
    """Return the measured seconds of a run after some of its steps, and after the last.

    Raises:
        DataError: The file is missing or damaged.
    """
    frame = results.seconds(*run)
    rows = frame[frame["step"].isin([*steps, frame["step"].max()])]
    names = ("cpu_seconds", "gpu_seconds", "wall_seconds")
    return [
        Point(name, float(value), int(step))
        for name in names
        for step, value in zip(rows["step"], rows[name], strict=True)
    ]


def _measures(evaluation: Evaluation, pass_at: Sequence[int]) -> Iterator[tuple[str, FloatArray]]:
    """Yield measures with their values `[checkpoints, questions]`, nan where there is none."""
    yield "accuracy", evaluation.sampled[0]
    yield "accuracy_greedy", evaluation.greedy[0]
    for k in pass_at:
        enough = evaluation.samples >= k
        values = np.full(evaluation.samples.shape, np.nan)
        if enough.any():
            values[enough] = pass_at_k(evaluation.samples[enough], evaluation.correct[0][enough], k)
        yield f"pass_at_{k}", values


def _masks(evaluation: Evaluation, groups: Mapping[str, Sequence[str]]) -> Iterator[tuple[str, Mask]]:
    """Yield names of benchmarks and groups with the questions in them, `[questions]`."""
    members = {MEAN: evaluation.benchmarks, **groups, **{name: [name] for name in evaluation.benchmarks}}
    for name, benchmarks in members.items():
        mask = np.isin(evaluation.benchmark, [i for i, each in enumerate(evaluation.benchmarks) if each in benchmarks])
        if mask.any():
            yield name, mask


def _means(evaluation: Evaluation, values: FloatArray, mask: Mask) -> FloatArray:
    """Return the mean over some benchmarks at each checkpoint; nan where a question has no value."""
    return np.asarray(values[:, mask] @ even_weights(evaluation.benchmark[mask]), dtype=np.float64)


def _targets(evaluation: Evaluation, targets: Sequence[float]) -> Iterator[Point]:
    curve = _means(evaluation, evaluation.sampled[0], np.ones(len(evaluation.benchmark), dtype=bool))
    for target in targets:
        rollouts = float(first_crossing(evaluation.rollouts, curve, target))
        if np.isfinite(rollouts):
            yield Point(f"rollouts_to_target/{target:g}", rollouts, int(evaluation.steps[-1]))
