"""Evaluation of one checkpoint: sampled and greedy completions of every benchmark question, with their grades.

At temperature 0 a benchmark has one sample, which is the greedy completion. It is stored under both modes, so that
`sampled` is always what the protocol measures.

A completion's reward is 1 if the grader finds it correct, else 0; a scorer of reasoning-gym may give a score between.
A benchmark may have a reward function in place of the grader. Then a completion is correct if its reward is 1, else
wrong. Accuracy is the mean reward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dopr.data.encoding import decode_completion, encode_prompt
from dopr.files import DataError
from dopr.grading.grader import Grader
from dopr.grading.rewards import within_bounds
from dopr.records import Grade, Prompt, derive_seed
from dopr.rollout.engine import Engine, Sample

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
        "reward": pa.float64(),
        "text": pa.string(),
    }
)


@dataclass(frozen=True)
class EvaluationSettings:
    """How completions are sampled and graded.

    Attributes:
        samples: Benchmark -> sampled completions of each question.
        temperature: Benchmark -> sampling temperature.
        max_new_tokens: Token limit of every completion.
        rewards: Benchmark -> reward function. The grader grades benchmarks that are not in it.
        greedy: Whether each question has a greedy completion too. At temperature 0 it has one in any case.
    """

    samples: Mapping[str, int]
    temperature: Mapping[str, float]
    max_new_tokens: int
    rewards: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    greedy: bool = True

    def between(self, samples: int | None) -> EvaluationSettings:
        """Return the settings of checkpoints between the first and the last; None changes nothing."""
        if samples is None:
            return self
        return replace(self, samples=dict.fromkeys(self.samples, samples), greedy=False)

    def has_greedy(self, benchmark: str) -> bool:
        """Return whether the questions of a benchmark have a greedy completion; at temperature 0 it is the sample."""
        return self.greedy or self.temperature[benchmark] == 0


@dataclass(frozen=True)
class EvaluationCost:
    """Training cost of a checkpoint: steps, rollouts, and the tokens of the rollouts and their prompts."""

    step: int
    rollouts: int
    tokens: int


def evaluate(
    engine: Engine,
    tokenizer: Tokenizer,
    grader: Grader,
    questions: Sequence[Prompt],
    settings: EvaluationSettings,
    seed: int,
    cost: EvaluationCost,
) -> pa.Table:
    """Evaluate a policy on questions and return one row for each completion, with SCHEMA.

    `seed` is the training run's, so that runs also differ in their evaluation noise.
    """
    prompts = [encode_prompt(tokenizer, question.text) for question in questions]
    benchmarks = [question.family for question in questions]
    greedy_seed = derive_seed(seed, "evaluate", "greedy", cost.step)
    greedy = _decode_greedily(engine, prompts, benchmarks, settings, greedy_seed)
    sampled_seed = derive_seed(seed, "evaluate", "sampled", cost.step)
    sampled = _sample(engine, prompts, greedy, benchmarks, settings, sampled_seed)
    rows = [
        {**asdict(cost), "mode": mode, **row}
        for mode, groups in (("greedy", greedy), ("sampled", sampled))
        for row in completion_rows(tokenizer, grader, settings.rewards, questions, groups)
    ]
    return pa.Table.from_pylist(rows, SCHEMA)


def completion_rows(
    tokenizer: Tokenizer,
    grader: Grader,
    rewards: Mapping[str, Callable[..., Any]],
    questions: Sequence[Prompt],
    groups: Sequence[Sequence[Sample]],
) -> list[dict[str, Any]]:
    """Grade the completions of each question, and return a row for each: the columns of SCHEMA from `benchmark` on.

    Raises:
        GraderError: See Grader.grade.
        RewardError: A reward function returned something other than a number from 0 to 1.
    """
    texts = [[decode_completion(tokenizer, sample.tokens, sample.finish) for sample in group] for group in groups]
    pairs = [(question, text) for question, group in zip(questions, texts, strict=True) for text in group]
    grades = iter(grade_completions(grader, rewards, pairs))
    return [
        {
            "benchmark": question.family,
            "category": question.category,
            "prompt": question.id,
            "answer": question.answer,
            "sample": sample_index,
            "completion_tokens": len(sample.tokens),
            "finish": sample.finish,
            "verdict": verdict,
            "reward": reward,
            "text": text,
        }
        for question, group, group_texts in zip(questions, groups, texts, strict=True)
        for sample_index, (sample, text) in enumerate(zip(group, group_texts, strict=True))
        for verdict, reward in [next(grades)]
    ]


def grade_completions(
    grader: Grader, rewards: Mapping[str, Callable[..., Any]], completions: Sequence[tuple[Prompt, str]]
) -> list[Grade]:
    """Return the verdict and reward of each (question, completion text) pair.

    Raises:
        GraderError: See Grader.grade.
        RewardError: A reward function returned something other than a number from 0 to 1.
    """
    pairs = [(question.answer, text) for question, text in completions if question.family not in rewards]
    graded = iter(grader.grades(pairs))
    grades: list[Grade] = []
    for question, text in completions:
        if question.family in rewards:
            value = rewards[question.family](question.row(), text)
            reward = within_bounds(value, f"evaluate.reward gave {value!r} for a completion of {question.id}")
            grades.append(Grade("correct" if reward == 1 else "wrong", reward))
        else:
            grades.append(next(graded))
    return grades


def _decode_greedily(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    benchmarks: Sequence[str],
    settings: EvaluationSettings,
    seed: int,
) -> list[list[Sample]]:
    """Return the greedy completion of each prompt, in a group of its own; empty where its benchmark has none."""
    groups: list[list[Sample]] = [[] for _ in prompts]
    indices = [index for index, name in enumerate(benchmarks) if settings.has_greedy(name)]
    if indices:
        decoded = engine.generate([prompts[index] for index in indices], 1, 0.0, settings.max_new_tokens, seed)
        for index, group in zip(indices, decoded, strict=True):
            groups[index] = group
    return groups


def _sample(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    greedy: Sequence[list[Sample]],
    benchmarks: Sequence[str],
    settings: EvaluationSettings,
    seed: int,
) -> list[list[Sample]]:
    """Sample each prompt with its benchmark's settings; at temperature 0 the greedy completion is the sample.

    Prompts with equal settings are sampled in one call.
    """
    by_prompt = [(settings.samples[name], settings.temperature[name]) for name in benchmarks]
    groups = list(greedy)
    for n, temperature in dict.fromkeys(setting for setting in by_prompt if setting[1] > 0):
        indices = [index for index, setting in enumerate(by_prompt) if setting == (n, temperature)]
        # Engines count up from a seed, so that neighbouring seeds would give two calls the same random numbers.
        call_seed = derive_seed(seed, n, str(temperature)) if indices[0] else seed
        sampled = engine.generate(
            [prompts[index] for index in indices], n, temperature, settings.max_new_tokens, call_seed
        )
        for index, group in zip(indices, sampled, strict=True):
            groups[index] = group
    return groups


def check_questions(questions: Sequence[Prompt], settings: EvaluationSettings, source: str) -> None:
    """Check that all questions can be sampled and graded, before anything is generated.

    Raises:
        DataError: Questions for the grader have no answer, or questions belong to no configured benchmark. The message
            counts them.
    """
    graded = [question for question in questions if question.family not in settings.rewards]
    unanswered = [question.id for question in graded if not question.answer.strip()]
    if unanswered:
        raise DataError(
            f"{source}: {len(unanswered)} of {len(questions)} questions have no answer, the first is "
            f"{unanswered[0]!r}; give them one, or take them out"
        )
    unknown = [question for question in questions if question.family not in settings.samples]
    if unknown:
        raise DataError(
            f"{source}: {len(unknown)} of {len(questions)} questions are of no configured benchmark, the first is "
            f"{unknown[0].id!r} of {unknown[0].family!r}; add it to data.benchmarks"
        )


def accuracy(table: pa.Table) -> float:
    """Return the mean reward of sampled completions, averaged over benchmarks, for progress lines."""
    rows = table.filter(pc.equal(table["mode"], "sampled"))
    return float(pc.mean(rows.group_by("benchmark").aggregate([("reward", "mean")])["reward_mean"]).as_py())


def unparsed_warning(table: pa.Table, settings: EvaluationSettings, extraction: str) -> str:
    """Return a warning if the grader found no answer in more than half of the completions; else empty text."""
    by_function = pc.is_in(table["benchmark"], pa.array(list(settings.rewards), pa.string()))
    graded = table.filter(pc.invert(by_function))
    unparsed = pc.sum(pc.equal(graded["verdict"], "unparsed")).as_py() or 0
    if unparsed <= graded.num_rows / 2:
        return ""
    count = "none" if unparsed == graded.num_rows else f"only {graded.num_rows - unparsed}"
    remedy = (
        "look at some, and " if extraction == "any" else "set verify.extraction to any, which reads others too, or "
    )
    return (
        f"{count} of {graded.num_rows} completions holds an answer where verify.extraction {extraction!r} looks for "
        f"one, so their accuracy does not show what the policy knows; {remedy}ask for that form by prompt.template or "
        "prompt.suffix (docs/grading.md)"
    )
