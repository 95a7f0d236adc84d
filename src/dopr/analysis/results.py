"""The files of an experiment, by what they are: where each lies, and what it must hold.

Tables and figures know an experiment only through these files, so they draw anyone's results.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from dopr.files import DataError, read_json, read_prompts
from dopr.records import Prompt

LEDGER = ("step", "prompt", "sample", "prompt_tokens", "completion_tokens", "reward")
COMPLETIONS = ("step", "rollouts", "tokens", "benchmark", "prompt", "mode", "sample", "finish", "verdict", "reward")
RESPONSES = ("step", "rollouts", "finish", "completion_tokens", "text")
TEXTS = ("category", "completion_tokens", "text")
METRICS = ("step", "rollouts", "tokens", "updates", "reward", "signal", "updated", "entropy", "length", "grad_norm")
SECONDS = ("step", "cpu_seconds", "wall_seconds", "gpu_seconds")
RANKING = ("rank", "prompt", "family", "variance", "mean", "visits")


@dataclass(frozen=True)
class Results:
    """The results folder of an experiment. Every reader raises DataError naming the file that is missing or damaged.

    evaluations: `evaluate`, of the test questions, or `validate`, of the validation questions.
    """

    root: Path
    evaluations: str = "evaluate"

    def completions(self, pool: str, method: str, seed: int) -> pd.DataFrame:
        """Graded completions of every checkpoint of a run, without their texts."""
        return _parquet(self.root / self.evaluations / pool / method / str(seed) / "completions.parquet", COMPLETIONS)

    def texts(self, pool: str, method: str, seed: int, step: int) -> pd.DataFrame:
        """Sampled completions of one checkpoint, with their texts, lengths and categories."""
        path = self.root / self.evaluations / pool / method / str(seed) / "completions.parquet"
        return _parquet(path, (*COMPLETIONS, *TEXTS), [("step", "=", step), ("mode", "=", "sampled")])

    def responses(self, pool: str, method: str, seed: int) -> pd.DataFrame:
        """Sampled completions of every checkpoint of a run, with their texts and lengths."""
        path = self.root / self.evaluations / pool / method / str(seed) / "completions.parquet"
        return _parquet(path, RESPONSES, [("mode", "=", "sampled")])

    def ledger(self, pool: str, method: str, seed: int) -> pd.DataFrame:
        """Every rollout a run generated, in order."""
        return _parquet(self.root / "train" / pool / method / str(seed) / "ledger.parquet", LEDGER)

    def metrics(self, pool: str, method: str, seed: int) -> pd.DataFrame:
        """One row a training step."""
        return _csv(self.root / "train" / pool / method / str(seed) / "metrics.csv", METRICS)

    def seconds(self, pool: str, method: str, seed: int) -> pd.DataFrame:
        """Cumulative measured time at each training step."""
        return _csv(self.root / "train" / pool / method / str(seed) / "seconds.csv", SECONDS)

    def settings(self, pool: str, method: str, seed: int) -> dict[str, Any]:
        """What a run was told: its recipe, and how completions were drawn and graded."""
        path = self.root / "train" / pool / method / str(seed) / "provenance.json"
        found = read_json(path)
        if not isinstance(found, dict) or "settings" not in found:
            raise DataError(f"{path}: holds no settings; delete it to have it made again")
        settings: dict[str, Any] = found["settings"]
        return settings

    def prompts(self, pool: str) -> list[Prompt]:
        """The prompts of a pool, in file order."""
        return read_prompts(self.root / "data" / f"{pool}.jsonl")

    def history(self, pool: str) -> dict[str, list[float]]:
        """Prompt id -> accuracy of each visit during profiling."""
        path = self.root / "profile" / pool / "history.json"
        history = read_json(path)
        if not isinstance(history, dict) or not any(history.values()):
            raise DataError(f"{path}: holds no visits; expected an object of prompt id -> list of accuracies")
        return {str(prompt): [float(value) for value in values] for prompt, values in history.items()}

    def ranking(self, pool: str) -> pd.DataFrame:
        """Visited prompts by historical variance, the highest first."""
        return _csv(self.root / "profile" / pool / "ranking.csv", RANKING)

    def profile_ledger(self, pool: str) -> pd.DataFrame:
        """Every rollout the profiling run generated, in order."""
        return _parquet(self.root / "profile" / pool / "ledger.parquet", LEDGER)


def _parquet(path: Path, columns: Sequence[str], rows: list[tuple[str, str, Any]] | None = None) -> pd.DataFrame:
    """Some columns of a file; of the rows that a filter of pyarrow leaves, which are all that is read."""
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the stage that makes it, or leave its run out")
    try:
        described = pq.read_metadata(path)
        _check(path, described.schema.names, columns, described.num_rows)
        frame: pd.DataFrame = pq.read_table(path, columns=list(columns), filters=rows).to_pandas()
    except pa.ArrowInvalid as error:
        raise DataError(f"{path}: not a Parquet file ({error}); delete it to have it made again") from None
    return frame


def _csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the stage that makes it, or leave its run out")
    try:
        frame = pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV file ({error}); delete it to have it made again") from None
    _check(path, list(frame.columns), columns, len(frame))
    return frame


def _check(path: Path, found: Sequence[str], wanted: Sequence[str], rows: int) -> None:
    missing = [column for column in wanted if column not in found]
    if missing:
        raise DataError(f"{path}: has no column {missing[0]!r}; delete it to have it made again")
    if not rows:
        raise DataError(f"{path}: holds no rows; delete it to have it made again")
