"""Evaluation of one checkpoint: greedy and sampled completions of every benchmark question, graded and kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dopr.data.encoding import encode_prompt
from dopr.records import Prompt, derive_seed
from dopr.rollout.engine import Engine
from dopr.verify.grader import Grader

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SCHEMA = pa.schema(
    {
        "step": pa.int32(),
        "rollouts": pa.int64(),
        "tokens": pa.int64(),
        "benchmark": pa.string(),
        "prompt": pa.string(),
        "mode": pa.string(),
        "sample": pa.int32(),
        "completion_tokens": pa.int32(),
        "finish": pa.string(),
        "verdict": pa.string(),
        "text": pa.string(),
    }
)


@dataclass(frozen=True)
class Protocol:
    """samples at `temperature` beside one greedy completion, each of at most max_new_tokens."""

    samples: int
    temperature: float
    max_new_tokens: int


@dataclass(frozen=True)
class Spent:
    """What training had cost when the checkpoint was made: steps, rollouts, and their tokens with the prompts'."""

    step: int
    rollouts: int
    tokens: int


def evaluate(
    engine: Engine,
    tokenizer: Tokenizer,
    grader: Grader,
    questions: Sequence[Prompt],
    protocol: Protocol,
    seed: int,
    spent: Spent,
) -> pa.Table:
    """One row a completion, as in SCHEMA; `seed` is the run's, so that runs differ in their evaluation noise too."""
    rows: list[dict[str, Any]] = []
    for mode, n, temperature in (("greedy", 1, 0.0), ("sampled", protocol.samples, protocol.temperature)):
        prompts = [encode_prompt(tokenizer, question.text) for question in questions]
        drawn = derive_seed(seed, "evaluate", mode, spent.step)
        samples = engine.generate(prompts, n, temperature, protocol.max_new_tokens, drawn)
        texts = [[tokenizer.decode(list(sample.tokens)) for sample in group] for group in samples]
        pairs = [(question.answer, text) for question, group in zip(questions, texts, strict=True) for text in group]
        verdicts: Iterator[str] = iter(grader.grade(pairs))
        rows += [
            {
                "step": spent.step,
                "rollouts": spent.rollouts,
                "tokens": spent.tokens,
                "benchmark": question.family,
                "prompt": question.id,
                "mode": mode,
                "sample": j,
                "completion_tokens": len(sample.tokens),
                "finish": sample.finish,
                "verdict": next(verdicts),
                "text": texts[i][j],
            }
            for i, question in enumerate(questions)
            for j, sample in enumerate(samples[i])
        ]
    return pa.Table.from_pylist(rows, SCHEMA)


def accuracy(table: pa.Table, mode: str) -> float:
    """Share of correct completions, for progress lines; benchmarks of equal size."""
    verdicts = table.filter(pc.equal(table["mode"], mode))["verdict"]
    return float(pc.mean(pc.equal(verdicts, "correct").cast("float64")).as_py())
