"""Evaluation: a row for every completion, each with the verdict of its own text."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pyarrow as pa
import pytest
from tokenizers import Tokenizer

from dopr.errors import RewardError
from dopr.evaluation.evaluate import (
    SCHEMA,
    EvaluationCost,
    EvaluationSettings,
    accuracy,
    check_questions,
    evaluate,
    unparsed_warning,
)
from dopr.files import DataError
from dopr.rollout.engine import Sample
from dopr.rollout.torch_engine import TorchEngine

SPENT = EvaluationCost(step=12, rollouts=1536, tokens=70_000)


class Known:
    """An engine whose answers are known: sample j of a question answers it with its number of tokens plus j."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.asked: list[tuple[int, float, int]] = []
        self.seeds: list[set[int]] = []  # that an engine would count up to in each call

    def generate(self, prompts, n, temperature, max_new_tokens, seed):
        self.asked.append((n, temperature, max_new_tokens))
        self.seeds.append(set(range(seed, seed + n * len(prompts))))
        return [[self._answer(len(prompt) + j) for j in range(n)] for prompt in prompts]

    def _answer(self, number: int) -> Sample:
        ids = (*self.tokenizer.encode(f"\\boxed{{{number}}}").ids, 1)
        return Sample(ids, (-0.1,) * len(ids), "stop")


@pytest.fixture(scope="module")
def questions(pool):
    return pool[:5]


def protocol(questions, samples: int, temperature: float) -> EvaluationSettings:
    names = {question.family for question in questions}
    return EvaluationSettings(dict.fromkeys(names, samples), dict.fromkeys(names, temperature), 20)


def run(tiny, grader, questions, seed: int, engine=None, spent: EvaluationCost = SPENT):
    tokenizer = Tokenizer.from_file(str(tiny / "tokenizer.json"))
    engine = engine or TorchEngine.from_folder(tiny)
    return evaluate(engine, tokenizer, grader, questions, protocol(questions, 3, 0.8), seed, spent)


def test_every_question_has_one_greedy_and_all_its_sampled_rows(tiny, grader, questions):
    table = run(tiny, grader, questions, seed=0)
    assert table.schema.equals(SCHEMA)
    rows = table.to_pylist()
    assert Counter((row["prompt"], row["mode"]) for row in rows) == Counter(
        {(question.id, mode): n for question in questions for mode, n in (("greedy", 1), ("sampled", 3))}
    )
    assert [row["sample"] for row in rows] == [0] * 5 + [0, 1, 2] * 5
    assert {(row["step"], row["rollouts"], row["tokens"]) for row in rows} == {(12, 1536, 70_000)}
    family = {question.id: question.family for question in questions}
    assert all(row["benchmark"] == family[row["prompt"]] for row in rows)


def test_every_completion_ends_or_is_cut_at_the_limit(tiny, grader, questions):
    rows = run(tiny, grader, questions, seed=0).to_pylist()
    assert {row["finish"] for row in rows} == {"stop", "length"}
    assert all(row["completion_tokens"] == 20 for row in rows if row["finish"] == "length")
    assert all(1 <= row["completion_tokens"] <= 20 for row in rows)


def with_answer(question, tokenizer, sample: int):
    """The question with the answer that this sample of the known engine gives."""
    return replace(question, answer=str(len(tokenizer.encode(question.text).ids) + sample))


@pytest.fixture
def known(tiny, questions):
    """The known engine, and questions of which sample 0, 1, 2, none and 0 is right."""
    tokenizer = Tokenizer.from_file(str(tiny / "tokenizer.json"))
    return Known(tokenizer), [with_answer(question, tokenizer, i % 4) for i, question in enumerate(questions)]


def test_each_verdict_is_that_of_its_own_question_and_sample(tiny, grader, known):
    engine, asked = known
    rows = run(tiny, grader, asked, 0, engine).to_pylist()
    assert engine.asked == [(1, 0.0, 20), (3, 0.8, 20)]
    right = {question.id: i % 4 for i, question in enumerate(asked)}
    assert [row["verdict"] == "correct" for row in rows] == [row["sample"] == right[row["prompt"]] for row in rows]
    answers = {question.id: question.answer for question in asked}  # what is kept is enough to grade again
    pairs = [(answers[row["prompt"]], row["text"]) for row in rows]
    assert grader.grade(pairs) == [row["verdict"] for row in rows]


def test_accuracy_is_the_share_of_correct_sampled_rows(tiny, grader, known):
    engine, asked = known
    alike = [replace(question, family="one") for question in asked]
    table = run(tiny, grader, alike, 0, engine)
    assert accuracy(table) == pytest.approx(4 / 15)
    uneven = [replace(question, family="first" if i == 0 else "others") for i, question in enumerate(asked)]
    assert accuracy(run(tiny, grader, uneven, 0, engine)) == pytest.approx((1 / 3 + 3 / 12) / 2)


def test_between_the_first_and_the_last_checkpoint_there_may_be_fewer_samples_and_no_greedy_one(tiny, grader, known):
    engine, asked = known
    settings = protocol(asked, 3, 0.8)
    assert settings.between(None) is settings
    table = evaluate(engine, engine.tokenizer, grader, asked, settings.between(2), 0, SPENT).to_pandas()
    assert engine.asked == [(2, 0.8, 20)]
    assert table.groupby(["prompt", "mode"]).size().to_dict() == {(question.id, "sampled"): 2 for question in asked}


def test_between_them_only_benchmarks_at_temperature_0_are_decoded_greedily(tiny, grader, known):
    engine, asked = known
    own = [replace(question, family="cold" if i < 2 else "warm") for i, question in enumerate(asked)]
    settings = EvaluationSettings({"cold": 1, "warm": 3}, {"cold": 0.0, "warm": 0.8}, 20).between(2)
    table = evaluate(engine, engine.tokenizer, grader, own, settings, 0, SPENT).to_pandas()
    assert engine.asked == [(1, 0.0, 20), (2, 0.8, 20)]
    counts = table.groupby(["benchmark", "mode"]).size().to_dict()  # of 2 questions and 3
    assert counts == {("cold", "greedy"): 2, ("cold", "sampled"): 2, ("warm", "sampled"): 6}


def test_benchmarks_have_their_own_samples_and_temperatures_and_greedy_ones_are_not_drawn_twice(tiny, grader, known):
    engine, asked = known
    names = ["a", "b", "a", "c", "b"]
    own = [replace(question, family=name) for question, name in zip(asked, names, strict=True)]
    settings = EvaluationSettings({"a": 2, "b": 3, "c": 1}, {"a": 0.6, "b": 1.0, "c": 0.0}, 20)
    table = evaluate(engine, engine.tokenizer, grader, own, settings, 0, SPENT).to_pandas()
    assert engine.asked == [(1, 0.0, 20), (2, 0.6, 20), (3, 1.0, 20)]
    assert len(set.union(*engine.seeds)) == sum(map(len, engine.seeds)) == 5 + 4 + 6
    counts = table[table["mode"] == "sampled"].groupby("benchmark").size().to_dict()
    assert counts == {"a": 4, "b": 6, "c": 1}
    both = table[table["benchmark"] == "c"]
    assert both["text"].nunique() == 1
    assert list(both["mode"]) == ["greedy", "sampled"]


def test_questions_that_cannot_be_graded_or_sampled_are_counted_and_named(questions):
    settings = protocol(questions, 2, 1.0)
    check_questions(questions, settings, "test.jsonl")
    without = [*questions[:3], replace(questions[3], answer=" ")]
    with pytest.raises(
        DataError, match=rf"test.jsonl: 1 of 4 questions have no answer, the first is '{questions[3].id}'"
    ):
        check_questions(without, settings, "test.jsonl")
    with pytest.raises(DataError, match=r"1 of 1 questions are of no configured benchmark, .* of 'other'"):
        check_questions([replace(questions[0], family="other")], settings, "test.jsonl")


def half_for_trying(prompt: dict, text: str) -> float:
    """1 for the answer in a box, 1/2 for any other, and for a question whose answer is `odd` what is no reward."""
    return 1 if text == f"\\boxed{{{prompt['answer']}}}" else -1 if prompt["answer"] == "odd" else 0.5


def test_a_benchmark_with_a_reward_function_is_judged_by_it_alone(tiny, grader, known):
    engine, asked = known
    own = [replace(question, family="own" if i < 3 else "graded") for i, question in enumerate(asked)]
    settings = replace(protocol(own, 3, 0.8), rewards={"own": half_for_trying})
    table = evaluate(engine, engine.tokenizer, grader, own, settings, 0, SPENT)
    rows = table.to_pylist()
    right = {question.id: i % 4 for i, question in enumerate(asked)}
    for row in rows:
        correct = row["sample"] == right[row["prompt"]]
        assert row["verdict"] == ("correct" if correct else "wrong")
        assert row["reward"] == (1 if correct else 0.5 if row["benchmark"] == "own" else 0)
    # Of 9 sampled completions 3 are right and 6 earn a half; of the other benchmark's 6, one is right.
    assert accuracy(table) == pytest.approx(((3 + 6 / 2) / 9 + 1 / 6) / 2)


def test_a_reward_that_is_none_is_named_with_its_question(tiny, grader, known):
    engine, asked = known
    odd = [replace(asked[0], answer="odd")]
    settings = replace(protocol(odd, 3, 0.8), rewards={odd[0].family: half_for_trying})
    with pytest.raises(RewardError, match=rf"evaluate.reward gave -1 for a completion of {odd[0].id}; it must"):
        evaluate(engine, engine.tokenizer, grader, odd, settings, 0, SPENT)


def test_a_reward_function_needs_no_reference_answer(questions):
    settings = protocol(questions, 2, 1.0)
    without = [replace(questions[0], answer="")]
    check_questions(without, replace(settings, rewards={questions[0].family: half_for_trying}), "test.jsonl")
    with pytest.raises(DataError, match="1 of 1 questions have no answer"):
        check_questions(without, settings, "test.jsonl")


def test_a_policy_none_of_whose_completions_can_be_read_is_told_of(tiny, grader, known):
    engine, asked = known
    own = [replace(question, family="own" if i < 3 else "graded") for i, question in enumerate(asked)]
    settings = protocol(own, 3, 0.8)
    table = evaluate(engine, engine.tokenizer, grader, own, settings, 0, SPENT)
    assert unparsed_warning(table, settings, "boxed") == ""
    place = table.schema.get_field_index("verdict")
    silent = table.set_column(place, table.schema.field(place), pa.array(["unparsed"] * table.num_rows))
    told = unparsed_warning(silent, settings, "boxed")
    assert told.startswith("none of 20 completions holds an answer where verify.extraction 'boxed' looks for one")
    assert "set verify.extraction to any, which reads others too, or ask for that form by prompt.template or" in told
    assert "look at some, and ask for that form" in unparsed_warning(silent, settings, "any")
    for count, warned in ((10, ""), (11, "only 9 of 20 completions holds an answer where")):
        verdicts = pa.array(["unparsed"] * count + ["wrong"] * (20 - count))
        some = table.set_column(place, table.schema.field(place), verdicts)
        assert unparsed_warning(some, settings, "boxed")[:46] == warned
    # What a function judged is never unparsed, and says nothing of the others.
    half = replace(settings, rewards={"own": half_for_trying})
    assert unparsed_warning(silent, half, "boxed").startswith("none of 8 completions")
    assert (
        unparsed_warning(silent, replace(settings, rewards=dict.fromkeys(["own", "graded"], half_for_trying)), "") == ""
    )


def test_the_same_seed_gives_the_same_table_and_another_seed_other_samples(tiny, grader, questions):
    first, again, other = (run(tiny, grader, questions, seed) for seed in (0, 0, 1))
    assert first.equals(again)
    greedy, sampled = (
        [[row["text"] for row in table.to_pylist() if row["mode"] == mode] for table in (first, other)]
        for mode in ("greedy", "sampled")
    )
    assert greedy[0] == greedy[1]
    assert sampled[0] != sampled[1]


def test_checkpoints_of_one_run_are_sampled_independently(tiny, grader, questions):
    first, later = (run(tiny, grader, questions, 0, spent=EvaluationCost(step, 0, 0)) for step in (0, 1))
    assert first["text"].to_pylist() != later["text"].to_pylist()
