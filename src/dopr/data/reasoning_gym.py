"""Questions that the package reasoning-gym generates, as rows of a source.

Some of its data sets iterate over sets of text, whose order changes from process to process. So questions are made by
a child process with fixed hashes:

    PYTHONHASHSEED=0 python -m dopr.data.reasoning_gym SETTINGS
"""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from dopr.config.reasoning_gym import ReasoningGym
from dopr.errors import suggestion
from dopr.files import DataError
from dopr.grading.entries import INSTALL, PACKAGE, Entry, installed_version

if TYPE_CHECKING:
    from dopr.data.rows import Row

COMPOSITE = "composite"
TASK = "task"  # the field of a row
REFUSALS = (AssertionError, TypeError, ValueError, KeyError)  # what data sets raise for a parameter


def package() -> dict[str, str | None]:
    """Return the installed version, which decides which questions a seed gives."""
    return {PACKAGE: installed_version()}


def tasks() -> list[str]:
    """Return the names of all data sets, without the one that is made of others."""
    from reasoning_gym.factory import DATASETS

    return [name for name in DATASETS if name != COMPOSITE]


def check(settings: ReasoningGym, key: str) -> None:
    """Check that the package is installed, has the task, and takes its parameters.

    Args:
        settings: The data set.
        key: Its place in the configuration.

    Raises:
        DataError: One of these is not so. The message names the key, the value and the fix.
    """
    if installed_version() is None:
        raise DataError(f"{key}: needs the package {PACKAGE}, which is not installed: {INSTALL}")
    _check_task(settings.task, f"{key}.task")
    for name, parameters in parts_of(settings).items():
        _check_task(name, f"{key}.parameters.datasets")
        _check_parameters(name, parameters, f"{key}.parameters.datasets")
    given = {**settings.parameters, "size": settings.size, "seed": settings.seed}
    _check_parameters(settings.task, given, f"{key}.parameters")


def rows(settings: ReasoningGym, key: str) -> list[tuple[int, Row]]:
    """Return (number, row) of every question. Numbers begin at 1. A row has question, answer and TASK.

    The answer is the reference of an entry (dopr.grading.entries).

    Raises:
        DataError: The questions cannot be made.
    """
    check(settings, key)
    child = subprocess.run(
        [sys.executable, "-m", "dopr.data.reasoning_gym", settings.model_dump_json()],
        env={**os.environ, "PYTHONHASHSEED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if child.returncode:
        problem = (child.stderr.strip().splitlines() or [f"exit code {child.returncode}"])[-1]
        raise DataError(f"{key}: {settings.task} cannot make questions with {settings.parameters}: {problem}")
    return list(enumerate(json.loads(child.stdout), 1))


def generate(settings: ReasoningGym) -> list[Row]:
    """Return the rows, in this process, with its hashes of text."""
    from reasoning_gym.factory import create_dataset

    parameters = with_parts(settings.task, settings.parameters)
    dataset = create_dataset(settings.task, size=settings.size, seed=settings.seed, **parameters)
    return [_row(settings, dataset[index]) for index in range(settings.size)]


def with_parts(task: str, parameters: dict[str, Any]) -> dict[str, Any]:
    """Return the parameters as the package takes them: the parts of a composite are objects of its own."""
    if task != COMPOSITE:
        return parameters
    from reasoning_gym.composite import DatasetSpec

    parts = [DatasetSpec(**{"weight": 1.0, "config": {}, **part}) for part in parameters.get("datasets") or []]
    return {**parameters, "datasets": parts}


def parts_of(settings: ReasoningGym) -> dict[str, dict[str, Any]]:
    """Return the parameters of each data set of a composite, by its name; empty for any other task."""
    parts = settings.parameters.get("datasets") or [] if settings.task == COMPOSITE else []
    return {part["name"]: part.get("config") or {} for part in parts if isinstance(part, dict) and "name" in part}


def _row(settings: ReasoningGym, content: dict[str, Any]) -> Row:
    task, parameters = settings.task, settings.parameters
    if task == COMPOSITE:
        task = content["metadata"]["source_dataset"]
        parameters = parts_of(settings)[task]
    entry = Entry(str(installed_version()), task, parameters, content)
    return {"question": content["question"], "answer": entry.reference(), TASK: task}


def _check_task(task: str, key: str) -> None:
    from reasoning_gym.factory import DATASETS

    if task not in DATASETS:
        raise DataError(f"{key}: {PACKAGE} {installed_version()} has no {task!r}{suggestion(task, list(DATASETS))}")


def _check_parameters(task: str, parameters: dict[str, Any], key: str) -> None:
    from reasoning_gym.factory import DATASETS

    config = DATASETS[task][1]
    known = [field.name for field in dataclasses.fields(config)]
    for name in parameters:
        if name not in known:
            raise DataError(f"{key}: {task} has no {name!r}{suggestion(name, known)}")
    try:
        config(**with_parts(task, parameters)).validate()
    except REFUSALS as error:
        given = {name: value for name, value in parameters.items() if name not in ("size", "seed")}
        problem = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{key}: {task} refuses {given}: {problem}") from None


if __name__ == "__main__":
    print(json.dumps(generate(ReasoningGym.model_validate_json(sys.argv[1]))))
