"""Evaluation of one checkpoint: greedy and sampled completions of every benchmark question, graded and kept.

At temperature 0 a benchmark has one sample, and that is the greedy completion itself: it is kept under both modes, so
that `sampled` is always what the protocol measures.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dopr.data.encoding import encode_prompt
from dopr.files import DataError
from dopr.records import Prompt, derive_seed
from dopr.rollout.engine import Engine, Sample
from dopr.verify.grader import Grader

if TYPE_CHECKING:
    from tokenizers import Tokenizer

SCHEMA = pa.schema(
    {
        "step": pa.int32(),
        "rollouts": pa.int64(),
        "tokens": pa.int64(),
        "benchmark": pa.string(),
        "category": pa.string(),
        "prompt": pa.string(),
        "answer": pa.string(),
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
    """By benchmark, samples of a question and their temperature, beside one greedy completion; all of at most
    max_new_tokens."""

    samples: Mapping[str, int]
    temperature: Mapping[str, float]
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
    prompts = [encode_prompt(tokenizer, question.text) for question in questions]
    drawn = derive_seed(seed, "evaluate", "greedy", spent.step)
    greedy = engine.generate(prompts, 1, 0.0, protocol.max_new_tokens, drawn)
    drawn = derive_seed(seed, "evaluate", "sampled", spent.step)
    sampled = _sample(engine, prompts, greedy, [question.family for question in questions], protocol, drawn)
    rows: list[dict[str, Any]] = []
    for mode, samples in (("greedy", greedy), ("sampled", sampled)):
        texts = [[tokenizer.decode(list(sample.tokens)) for sample in group] for group in samples]
        pairs = [(question.answer, text) for question, group in zip(questions, texts, strict=True) for text in group]
        verdicts: Iterator[str] = iter(grader.grade(pairs))
        rows += [
            {
                "step": spent.step,
                "rollouts": spent.rollouts,
                "tokens": spent.tokens,
                "benchmark": question.family,
                "category": question.category,
                "prompt": question.id,
                "answer": question.answer,
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


def _sample(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    greedy: Sequence[list[Sample]],
    benchmarks: Sequence[str],
    protocol: Protocol,
    seed: int,
) -> list[list[Sample]]:
    """Samples of each prompt by its benchmark's settings; prompts with equal settings are drawn together."""
    settings = [(protocol.samples[name], protocol.temperature[name]) for name in benchmarks]
    found = list(greedy)
    for n, temperature in dict.fromkeys(setting for setting in settings if setting[1] > 0):
        places = [i for i, setting in enumerate(settings) if setting == (n, temperature)]
        asked = [prompts[i] for i in places]
        # The first question's place tells the groups' random numbers apart.
        groups = engine.generate(asked, n, temperature, protocol.max_new_tokens, seed + places[0])
        for i, group in zip(places, groups, strict=True):
            found[i] = group
    return found


def check_questions(questions: Sequence[Prompt], protocol: Protocol, source: str) -> None:
    """Refuse what cannot be graded or sampled, before anything is generated.

    Raises:
        DataError: questions without an answer, or of a benchmark that the protocol has no settings for; counts them.
    """
    unanswered = [question.id for question in questions if not question.answer.strip()]
    if unanswered:
        raise DataError(
            f"{source}: {len(unanswered)} of {len(questions)} questions have no answer, the first is "
            f"{unanswered[0]!r}; give them one, or take them out"
        )
    unknown = [question for question in questions if question.family not in protocol.samples]
    if unknown:
        raise DataError(
            f"{source}: {len(unknown)} of {len(questions)} questions are of no configured benchmark, the first is "
            f"{unknown[0].id!r} of {unknown[0].family!r}; add it to data.benchmarks"
        )


def accuracy(table: pa.Table, mode: str) -> float:
    """Share of correct completions, for progress lines: the mean over benchmarks of theirs."""
    rows = table.filter(pc.equal(table["mode"], mode))
    right = pa.table({"benchmark": rows["benchmark"], "right": pc.equal(rows["verdict"], "correct").cast("float64")})
    return float(pc.mean(right.group_by("benchmark").aggregate([("right", "mean")])["right_mean"]).as_py())
