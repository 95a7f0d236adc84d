"""The files of an experiment: their paths and their required columns.

Tables and figures read an experiment only through these files, so they work with results from elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from dopr.analysis.accuracy_history import read_history
from dopr.file_hashes import check_hash
from dopr.files import DataError, read_json, read_prompts
from dopr.parquet_files import check_columns, read_parquet
from dopr.records import Prompt

LEDGER = ("step", "prompt", "sample", "prompt_tokens", "completion_tokens", "reward")
COMPLETIONS = ("step", "rollouts", "tokens", "benchmark", "prompt", "mode", "sample", "finish", "verdict", "reward")
RESPONSES = ("step", "rollouts", "finish", "completion_tokens", "text")
TEXTS = ("category", "completion_tokens", "text")
METRICS = (
    *("step", "rollouts", "tokens", "updates", "reward", "frac_reward_zero_std", "updated", "entropy", "length"),
    "grad_norm",
)
SECONDS = ("step", "cpu_seconds", "wall_seconds", "gpu_seconds")
MAIN = ("pool", "method", "seeds", "rollouts", "all", "all_low", "all_high")
RANKING = ("rank", "prompt", "family", "variance", "mean", "visits")


@dataclass(frozen=True)
class Results:
    """The results folder of an experiment.

    All methods read a file. They raise a DataError with its name if it is missing or damaged.

    Attributes:
        root: The folder.
        evaluations: `evaluate` for the test questions, or `validate` for the validation questions.
    """

    root: Path
    evaluations: str = "evaluate"

    def __post_init__(self) -> None:
        """Take a text as `root` too, as notebooks write it."""
        object.__setattr__(self, "root", Path(self.root))

    def main(self) -> pd.DataFrame:
        """Read the main table: accuracy and rollouts to each target of every pool and method."""
        return _csv(self.root / "tables" / "main.csv", MAIN)

    def completions(self, pool: str, method: str, seed: int) -> pd.DataFrame:
        """Read the graded completions of every checkpoint of a run, without their texts."""
        return _parquet(self._completions_path(pool, method, seed), COMPLETIONS)

    def texts(self, pool: str, method: str, seed: int, step: int) -> pd.DataFrame:
        """Read the sampled completions of one checkpoint, with their texts, lengths and categories."""
        rows = [("step", "=", step), ("mode", "=", "sampled")]
        return _parquet(self._completions_path(pool, method, seed), (*COMPLETIONS, *TEXTS), rows)

    def responses(self, pool: str, method: str, seed: int) -> pd.DataFrame:
        """Read the sampled completions of every checkpoint of a run, with their texts and lengths."""
        return _parquet(self._completions_path(pool, method, seed), RESPONSES, [("mode", "=", "sampled")])

    def _completions_path(self, pool: str, method: str, seed: int) -> Path:
        return self.root / self.evaluations / pool / method / str(seed) / "completions.parquet"

    def ledger(self, pool: str, method: str, seed: int) -> pd.DataFrame:
        """Read every rollout of a run, in order."""
        return _parquet(self.root / "train" / pool / method / str(seed) / "ledger.parquet", LEDGER)

    def metrics(self, pool: str, method: str, seed: int) -> pd.DataFrame:
        """Read the metrics of each training step."""
        return _csv(self.root / "train" / pool / method / str(seed) / "metrics.csv", METRICS)

    def seconds(self, pool: str, method: str, seed: int) -> pd.DataFrame:
        """Read the cumulative measured time at each training step."""
        return _csv(self.root / "train" / pool / method / str(seed) / "seconds.csv", SECONDS)

    def settings(self, pool: str, method: str, seed: int) -> dict[str, Any]:
        """Read the settings of a run: its recipe, and how completions were sampled and graded."""
        path = self.root / "train" / pool / method / str(seed) / "provenance.json"
        provenance = read_json(path)
        if not isinstance(provenance, dict) or "settings" not in provenance:
            raise DataError(f"{path}: holds no settings; delete it to have it made again")
        settings: dict[str, Any] = provenance["settings"]
        return settings

    def prompts(self, pool: str) -> list[Prompt]:
        """Read the prompts of a pool, in file order."""
        path = self.root / "data" / f"{pool}.jsonl"
        prompts = read_prompts(path)
        check_hash(path)
        return prompts

    def history(self, pool: str) -> dict[str, list[float]]:
        """Read the accuracy of each visit in profiling, by prompt id."""
        path = self.root / "profile" / pool / "history.json"
        history = read_history(path)
        check_hash(path)
        return {prompt: list(values) for prompt, values in history.items()}

    def ranking(self, pool: str) -> pd.DataFrame:
        """Read the visited prompts by historical variance, the highest first."""
        return _csv(self.root / "profile" / pool / "ranking.csv", RANKING)

    def profile_ledger(self, pool: str) -> pd.DataFrame:
        """Read every rollout of the profiling run, in order."""
        return _parquet(self.root / "profile" / pool / "ledger.parquet", LEDGER)


def _parquet(path: Path, columns: Sequence[str], rows: list[tuple[str, str, Any]] | None = None) -> pd.DataFrame:
    """Read some columns of a file. `rows` is a filter of pyarrow, so that other rows are not read."""
    frame: pd.DataFrame = read_parquet(path, columns, rows).to_pandas()
    return frame


def _csv(path: Path, columns: Sequence[str]) -> pd.DataFrame:
    if not path.is_file():
        raise DataError(f"{path}: no such file; run the stage that makes it, or leave its run out")
    try:
        frame = pd.read_csv(path)
    except (pd.errors.EmptyDataError, pd.errors.ParserError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: not a CSV file ({error}); delete it to have it made again") from None
    check_columns(path, list(frame.columns), columns, len(frame))
    check_hash(path)
    return frame
