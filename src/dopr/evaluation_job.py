"""The evaluation of a model folder, or of every checkpoint of a run, from its files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from dopr.config import Verify
from dopr.evaluate import Protocol, Spent, accuracy, evaluate
from dopr.files import DataError, read_prompts, write_atomically
from dopr.progress import Progress
from dopr.records import Prompt
from dopr.rollout.torch_engine import TorchEngine
from dopr.stopwatch import Stopwatch
from dopr.verify.grader import Grader


@dataclass(frozen=True)
class EvaluationJob:
    """What to evaluate on, and how. settings: see dopr.jobs."""

    name: str
    seed: int
    settings: dict[str, Any]
    questions: Path

    def evaluate_model(self, folder: Path, output: Path) -> None:
        """Evaluate one model folder as step 0."""
        self._write([self._rows([(folder, Spent(0, 0, 0))])], output)

    def evaluate_run(self, checkpoints: Path, ledger: Path, base: Path, output: Path) -> None:
        """Evaluate each checkpoint of a run; `base` is the starting policy's evaluation, kept as its step 0.

        Raises:
            DataError: there are no checkpoints.
        """
        folders = sorted(checkpoints.glob("step-*"))
        if not folders:
            raise DataError(f"{checkpoints}: holds no checkpoints; delete the run's folder to train it again")
        costs = pq.read_table(ledger, columns=["step", "prompt_tokens", "completion_tokens"])
        self._write([pq.read_table(base), self._rows([(folder, spent(costs, folder)) for folder in folders])], output)

    def _rows(self, models: Sequence[tuple[Path, Spent]]) -> pa.Table:
        questions, tables = read_prompts(self.questions), []
        progress, watch = Progress(f"evaluate {self.name}", len(models)), Stopwatch()
        with Grader(Verify(**self.settings["verify"])) as grader:
            for i, (folder, cost) in enumerate(models, 1):
                tables.append(self._one(folder, cost, questions, grader))
                watch.lap(i)
                numbers = ", ".join(f"{mode} {accuracy(tables[-1], mode):.3f}" for mode in ("greedy", "sampled"))
                progress.report(i, f"{cost.rollouts} rollouts, {numbers}", watch.seconds_left(len(models)))
        return pa.concat_tables(tables)

    def _one(self, folder: Path, cost: Spent, questions: Sequence[Prompt], grader: Grader) -> pa.Table:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
        engine = TorchEngine.from_folder(folder)
        keys = ("samples", "temperature", "max_new_tokens")
        protocol = Protocol(**{key: self.settings[key] for key in keys})
        return evaluate(engine, tokenizer, grader, questions, protocol, self.seed, cost)

    def _write(self, tables: Sequence[pa.Table], output: Path) -> None:
        table = pa.concat_tables(tables).combine_chunks()
        write_atomically(output, lambda path: pq.write_table(table, path, compression="zstd"))


def spent(costs: pa.Table, checkpoint: Path) -> Spent:
    """What the ledger says the run had used when the checkpoint was made."""
    step = int(checkpoint.name.removeprefix("step-"))
    rows = costs.filter(pc.less(costs["step"], step))
    tokens = sum(pc.sum(rows[column]).as_py() for column in ("prompt_tokens", "completion_tokens"))
    return Spent(step, rows.num_rows, tokens)
