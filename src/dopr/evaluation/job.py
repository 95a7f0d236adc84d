"""The evaluation of a model folder, or of every checkpoint of a run, from its files."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

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
from dopr.files import DataError, read_prompts
from dopr.grading.grader import Grader
from dopr.models.model_folder import read_tokenizer
from dopr.plugins import load_function
from dopr.rollout.engine import Engine
from dopr.rollout.open import open_on_folder
from dopr.runtime.progress import Progress
from dopr.runtime.stopwatch import Stopwatch


class EvaluationJob:
    """What to evaluate on, and how, with the grader that does it. Use as a context manager."""

    def __init__(self, name: str, params: EvaluationParams, questions: Path, device: str = "cpu") -> None:
        """Read the questions; completions are sampled on `device`.

        Raises:
            UserError: the questions are missing or damaged, some have no answer, or a reward function cannot be loaded.
        """
        self.name, self.params, self.device = name, params, device
        self._engine: Engine | None = None
        self.questions = read_prompts(questions)
        self.protocol = EvaluationSettings(
            params.samples,
            params.temperature,
            params.max_new_tokens,
            {benchmark: load_function(reward["function"]) for benchmark, reward in params.rewards.items()},
        )
        check_questions(self.questions, self.protocol, str(questions))
        self.grader = Grader(params.verify)

    def __enter__(self) -> EvaluationJob:
        self.grader.__enter__()
        return self

    def __exit__(self, *failure: object) -> None:
        self.grader.__exit__(*failure)

    def evaluate_model(self, folder: Path, output: Path) -> None:
        """Evaluate one model folder as step 0."""
        rows = self._rows(self.name, 0, [(folder, EvaluationCost(0, 0, 0))])
        told = unparsed_warning(rows, self.protocol, self.grader.extraction)
        print(f"evaluate {self.name}: {told}\n" if told else "", end="", file=sys.stderr, flush=True)
        self._write([rows], output)

    def evaluate_run(self, run: Path, seed: int, base: Path, output: Path) -> None:
        """Evaluate each checkpoint of a run's folder; `base` is the starting policy's evaluation, kept as its step 0.

        Raises:
            DataError: there are no checkpoints.
        """
        folders = sorted((run / "checkpoints").glob("step-*"))
        if not folders:
            raise DataError(f"{run}: holds no checkpoints; delete the folder to train it again")
        costs = pq.read_table(run / "ledger.parquet", columns=["step", "prompt_tokens", "completion_tokens"])
        models = [(folder, spent(costs, folder)) for folder in folders]
        rows = self._rows(f"{self.name}/{seed}", seed, models)
        self._write([pq.read_table(base), rows], output)

    def _write(self, tables: Sequence[pa.Table], output: Path) -> None:
        write_completions(tables, self.grader, output, self.params.prompt, self.params.rewards)

    def _rows(self, name: str, seed: int, models: Sequence[tuple[Path, EvaluationCost]]) -> pa.Table:
        tables, progress, watch = [], Progress(f"evaluate {name}", len(models)), Stopwatch()
        for i, (folder, cost) in enumerate(models, 1):
            tokenizer, engine = read_tokenizer(folder), self._engine_on(folder)
            tables.append(evaluate(engine, tokenizer, self.grader, self.questions, self.protocol, seed, cost))
            watch.lap(i)
            numbers = ", ".join(f"{mode} {accuracy(tables[-1], mode):.3f}" for mode in ("greedy", "sampled"))
            progress.report(i, f"{cost.rollouts} rollouts, {numbers}", watch.seconds_left(len(models)))
        return pa.concat_tables(tables)

    def _engine_on(self, folder: Path) -> Engine:
        """The engine with the weights of a folder, opened once: a second vLLM fails once the first is dropped."""
        if self._engine is None:
            self._engine = open_on_folder(self.params.rollout, self.params.attn_implementation, folder, self.device)
        else:
            self._engine.load_folder(folder)
        return self._engine


def spent(costs: pa.Table, checkpoint: Path) -> EvaluationCost:
    """What the ledger says the run had used when the checkpoint was made."""
    step = int(checkpoint.name.removeprefix("step-"))
    rows = costs.filter(pc.less(costs["step"], step))
    tokens = sum(pc.sum(rows[column]).as_py() for column in ("prompt_tokens", "completion_tokens"))
    return EvaluationCost(step, rows.num_rows, tokens)
