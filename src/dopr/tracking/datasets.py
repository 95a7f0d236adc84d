"""The pool and the benchmarks of a run as MLflow's data set inputs, with hashes of their content."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from itertools import groupby
from pathlib import Path
from typing import Any

from mlflow.entities import Dataset, DatasetInput, InputTag

from dopr.files import read_prompts, sha256
from dopr.runtime.tracking import TrackedRun

DIGITS = 32  # of a hash; MLflow takes 36


def log_datasets(run: TrackedRun, root: Path, pool: str, description: Mapping[str, Any], evaluated: bool) -> None:
    """Log the pool a run was trained on, and the benchmarks if it was evaluated.

    Args:
        run: The MLflow run.
        root: The results folder.
        pool: The name of the pool.
        description: The provenance of the run, which has the hash of the pool it was trained on.
        evaluated: Whether the run was evaluated.
    """
    inputs = []
    path = root / "data" / f"{pool}.jsonl"
    if path.is_file():
        content = str(description.get("inputs", {}).get("pool") or sha256(path))
        inputs.append(_input(path, pool, content, len(read_prompts(path)), "training"))
    questions = root / "data" / "test.jsonl"
    if evaluated and questions.is_file():
        prompts = sorted(read_prompts(questions), key=lambda prompt: prompt.family)
        for benchmark, members in groupby(prompts, key=lambda prompt: prompt.family):
            rows = [json.dumps(prompt.row(), sort_keys=True) for prompt in members]
            content = hashlib.sha256("\n".join(rows).encode()).hexdigest()
            inputs.append(_input(questions, benchmark, content, len(rows), "evaluation"))
    if inputs:
        run.store.client.log_inputs(run.id, inputs)


def _input(path: Path, name: str, content: str, rows: int, context: str) -> DatasetInput:
    source = json.dumps({"uri": str(path.resolve()), "sha256": content})
    dataset = Dataset(
        name, content[:DIGITS], source_type="local", source=source, profile=json.dumps({"num_rows": rows})
    )
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
