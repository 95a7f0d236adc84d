"""Evaluation of one checkpoint: greedy and sampled completions of every benchmark question, graded and kept.

At temperature 0 a benchmark has one sample, and that is the greedy completion itself: it is kept under both modes, so
that `sampled` is always what the protocol measures.

A completion's reward is 1 if the grader finds it correct, else 0; or, of a benchmark with a reward function of its own,
what that gives, and then it is correct if the reward is 1, else wrong. Accuracy is the mean reward.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from dopr.data.encoding import decode_completion, encode_prompt
from dopr.files import DataError
from dopr.grading.grader import Grader
from dopr.grading.rewards import within_bounds
from dopr.records import Prompt, Verdict, derive_seed
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
    """By benchmark, samples of a question and their temperature, beside one greedy completion; all of at most
    max_new_tokens. rewards: the reward functions of the benchmarks that have one; the grader judges the others."""

    samples: Mapping[str, int]
    temperature: Mapping[str, float]
    max_new_tokens: int
    rewards: Mapping[str, Callable[..., Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class EvaluationCost:
    """What training had cost when the checkpoint was made: steps, rollouts, and their tokens with the prompts'."""

    step: int
    rollouts: int
    tokens: int


def evaluate(
    engine: Engine,
    tokenizer: Tokenizer,
    grader: Grader,
    questions: Sequence[Prompt],
    protocol: EvaluationSettings,
    seed: int,
    spent: EvaluationCost,
) -> pa.Table:
    """One row a completion, as in SCHEMA; `seed` is the run's, so that runs differ in their evaluation noise too."""
    prompts = [encode_prompt(tokenizer, question.text) for question in questions]
    drawn = derive_seed(seed, "evaluate", "greedy", spent.step)
    greedy = engine.generate(prompts, 1, 0.0, protocol.max_new_tokens, drawn)
    drawn = derive_seed(seed, "evaluate", "sampled", spent.step)
    sampled = _sample(engine, prompts, greedy, [question.family for question in questions], protocol, drawn)
    rows: list[dict[str, Any]] = []
    for mode, samples in (("greedy", greedy), ("sampled", sampled)):
        texts = [[decode_completion(tokenizer, sample.tokens, sample.finish) for sample in group] for group in samples]
        pairs = [(question, text) for question, group in zip(questions, texts, strict=True) for text in group]
        judged = iter(grade_completions(grader, protocol.rewards, pairs))
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
                "verdict": verdict,
                "reward": reward,
                "text": texts[i][j],
            }
            for i, question in enumerate(questions)
            for j, sample in enumerate(samples[i])
            for verdict, reward in [next(judged)]
        ]
    return pa.Table.from_pylist(rows, SCHEMA)


def grade_completions(
    grader: Grader, rewards: Mapping[str, Callable[..., Any]], completions: Sequence[tuple[Prompt, str]]
) -> list[tuple[Verdict, float]]:
    """Verdict and reward of (question, completion text) pairs, in order.

    Raises:
        GraderError: see Grader.grade.
        RewardError: a function gave another number than one from 0 to 1.
    """
    graded = [(question.answer, text) for question, text in completions if question.family not in rewards]
    verdicts = iter(grader.grade(graded))
    found: list[tuple[Verdict, float]] = []
    for question, text in completions:
        if question.family in rewards:
            value = rewards[question.family](question.row(), text)
            reward = within_bounds(value, f"evaluate.reward gave {value!r} for a completion of {question.id}")
            found.append(("correct" if reward == 1 else "wrong", reward))
        else:
            verdict = next(verdicts)
            found.append((verdict, float(verdict == "correct")))
    return found


def _sample(
    engine: Engine,
    prompts: Sequence[Sequence[int]],
    greedy: Sequence[list[Sample]],
    benchmarks: Sequence[str],
    protocol: EvaluationSettings,
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


def check_questions(questions: Sequence[Prompt], protocol: EvaluationSettings, source: str) -> None:
    """Refuse what cannot be graded or sampled, before anything is generated.

    Raises:
        DataError: questions without an answer for the grader, or of a benchmark that the protocol has no settings for;
            counts them.
    """
    graded = [question for question in questions if question.family not in protocol.rewards]
    unanswered = [question.id for question in graded if not question.answer.strip()]
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
    """Mean reward of a mode's completions, for progress lines: the mean over benchmarks of theirs."""
    rows = table.filter(pc.equal(table["mode"], mode))
    return float(pc.mean(rows.group_by("benchmark").aggregate([("reward", "mean")])["reward_mean"]).as_py())


def unparsed_warning(table: pa.Table, protocol: EvaluationSettings, extraction: str) -> str:
    """What to tell of a policy in none of whose graded completions an answer was found; empty where one was."""
    by_function = pc.is_in(table["benchmark"], pa.array(list(protocol.rewards), pa.string()))
    graded = table.filter(pc.invert(by_function))
    if pc.any(pc.not_equal(graded["verdict"], "unparsed")).as_py() or not graded.num_rows:
        return ""
    return (
        f"none of {graded.num_rows} completions holds an answer where verify.extraction {extraction!r} looks for one, "
        "so their accuracy of 0 does not show what the policy knows; look at some, then change verify.extraction, or "
        "ask for that form by prompt.template or prompt.suffix (docs/grading.md)"
    )
