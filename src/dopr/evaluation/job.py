"""The evaluation job: of a model folder, or of every checkpoint of a run."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from dopr.evaluation.completions import write_completions
from dopr.evaluation.evaluate import (
    EvaluationCost,
    EvaluationSettings,
    accuracy,
    check_questions,
    evaluate,
    unparsed_warning,
)
from dopr.evaluation.params import EvaluationParams
from dopr.file_hashes import check_hash, check_hashes
from dopr.files import DataError, read_prompts
from dopr.grading.grader import Grader
from dopr.models.model_folder import read_tokenizer
from dopr.parquet_files import read_parquet
from dopr.plugins import load_callable
from dopr.rollout.engine import Engine
from dopr.rollout.open import open_on_folder
from dopr.runtime.progress import Progress
from dopr.runtime.stopwatch import Stopwatch


class EvaluationJob:
    """Questions, settings and grader of an evaluation. Use as a context manager."""

    def __init__(self, name: str, params: EvaluationParams, questions: Path, device: str = "cpu") -> None:
        """Read the questions. Completions are sampled on `device`.

        Raises:
            UserError: The questions are missing or damaged, some have no answer, or a reward function cannot be loaded.
        """
        self.name, self.params, self.device = name, params, device
        self._engine: Engine | None = None
        self.questions = read_prompts(questions)
        self.settings = EvaluationSettings(
            params.samples,
            params.temperature,
            params.max_new_tokens,
            {benchmark: load_callable(reward["function"]) for benchmark, reward in params.rewards.items()},
        )
        check_hash(questions)
        check_questions(self.questions, self.settings, str(questions))
        self.grader = Grader(params.verify)

    def __enter__(self) -> EvaluationJob:
        self.grader.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self.grader.__exit__(*failure)

    def evaluate_model(self, folder: Path, output: Path) -> None:
        """Evaluate a model folder as step 0."""
        table = self._evaluate(self.name, 0, [(folder, EvaluationCost(0, 0, 0))])
        self._write([table], output)

    def evaluate_run(self, run: Path, seed: int, base: Path, output: Path) -> None:
        """Evaluate each checkpoint in a run's folder.

        Args:
            run: The run's folder.
            seed: The run's seed.
            base: The evaluation of the starting policy, which becomes step 0.
            output: The file to write.

        Raises:
            DataError: There are no checkpoints, or one of another run, or a file is missing or damaged.
        """
        folders = sorted((run / "checkpoints").glob("step-*"))
        if not folders:
            raise DataError(f"{run}: holds no checkpoints; delete the folder to train it again")
        ledger = read_parquet(run / "ledger.parquet", ["step", "prompt_tokens", "completion_tokens"])
        models = [(folder, cost_of(ledger, folder)) for folder in folders]
        table = self._evaluate(f"{self.name}/{seed}", seed, models)
        self._write([read_parquet(base, table.column_names), table], output)

    def _write(self, tables: Sequence[pa.Table], output: Path) -> None:
        write_completions(tables, self.grader, output, self.params.prompt, self.params.rewards)

    def _evaluate(self, name: str, seed: int, models: Sequence[tuple[Path, EvaluationCost]]) -> pa.Table:
        tables, progress, watch = [], Progress(f"evaluate {name}", len(models)), Stopwatch()
        for count, (folder, cost) in enumerate(models, 1):
            check_hashes(folder)
            tokenizer, engine = read_tokenizer(folder), self._engine_with(folder)
            settings = self.settings if count == len(models) else self.settings.between(self.params.between)
            tables.append(evaluate(engine, tokenizer, self.grader, self.questions, settings, seed, cost))
            watch.lap(count)
            numbers = f"{cost.rollouts} rollouts, accuracy {accuracy(tables[-1]):.3f}"
            progress.report(count, numbers, watch.seconds_left(len(models)))
        table = pa.concat_tables(tables)
        if warning := unparsed_warning(table, self.settings, self.grader.extraction):
            print(f"evaluate {name}: {warning}", file=sys.stderr, flush=True)
        return table

    def _engine_with(self, folder: Path) -> Engine:
        """Return the engine with the weights of a folder. It is opened once, since a second vLLM in a process fails."""
        if self._engine is None:
            self._engine = open_on_folder(self.params.rollout, self.params.attn_implementation, folder, self.device)
        else:
            self._engine.load_folder(folder)
        return self._engine


def cost_of(ledger: pa.Table, checkpoint: Path) -> EvaluationCost:
    """Sum the ledger up to a checkpoint.

    Raises:
        DataError: The checkpoint is of a later step than the ledger's last.
    """
    step, last = int(checkpoint.name.removeprefix("step-")), pc.max(ledger["step"]).as_py() + 1
    if step > last:
        raise DataError(
            f"{checkpoint}: the run ended after step {last} by its ledger.parquet, so this checkpoint is another "
            "run's; delete it"
        )
    rows = ledger.filter(pc.less(ledger["step"], step))
    tokens = sum(pc.sum(rows[column]).as_py() for column in ("prompt_tokens", "completion_tokens"))
    return EvaluationCost(step, rows.num_rows, tokens)
