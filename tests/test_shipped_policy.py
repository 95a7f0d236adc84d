"""The shipped starting policy stands in for a warm start with the same settings, and for no other."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from dopr.data.splits import held_out
from dopr.errors import UserError
from dopr.models.model_folder import read_tokenizer
from dopr.records import Prompt
from dopr.rollout.torch_engine import TorchEngine
from dopr.training.shipped_policy import RECORD, SHIPPED, WEIGHTS, is_made_from, write_record

ROOT = Path(__file__).parents[1]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return Path(shutil.copytree(SHIPPED, tmp_path / "policy"))


@pytest.fixture(scope="module")
def questions(config) -> list[Prompt]:
    return [prompt for split in held_out(config.data) for prompts in split.values() for prompt in prompts]


def test_it_is_that_of_the_shipped_configuration(folder, config, questions):
    assert is_made_from(folder, config.base.warm_start, questions)
    assert is_made_from(folder, config.base.warm_start, questions[::3])  # fewer questions are among those held out


def test_other_settings_other_questions_or_no_record_ask_for_a_warm_start(folder, config, questions):
    settings = config.base.warm_start
    assert not is_made_from(folder, settings.model_copy(update={"seed": 1}), questions)
    assert not is_made_from(folder, settings, [*questions, Prompt("new", "compute 1 + 1\n", "2", "chain1")])
    (folder / RECORD).unlink()
    assert not is_made_from(folder, settings, questions)
    write_record(folder, settings, questions)
    written, shipped = (json.loads((each / RECORD).read_text()) for each in (folder, SHIPPED))
    assert written["weights"] == shipped["weights"]
    assert written["settings"] == shipped["settings"]
    assert set(written["held_out"]) < set(shipped["held_out"])  # that of a larger test set


def test_weights_that_are_not_those_of_the_record_are_refused(folder, config, questions):
    damaged = bytearray((folder / WEIGHTS).read_bytes())
    damaged[-1] ^= 1
    (folder / WEIGHTS).write_bytes(damaged)
    with pytest.raises(UserError, match=r"model\.safetensors: not the file that .*made_from\.json describes"):
        is_made_from(folder, config.base.warm_start, questions)


def test_it_answers_a_quarter_of_the_questions(folder, questions, grader):
    """Training has something to reinforce, and something to gain."""
    asked = [question for question in questions if question.family in ("chain3", "mul2", "eq1")]
    engine, tokenizer = TorchEngine.from_folder(folder), read_tokenizer(folder)
    prompts = [tokenizer.encode(question.text).ids for question in asked]
    for n, temperature, low, high in ((1, 0.0, 0.1, 0.6), (4, 1.0, 0.15, 0.4)):
        groups = engine.generate(prompts, n, temperature, 64, 0)
        pairs = [
            (question.answer, tokenizer.decode(list(sample.tokens)))
            for question, group in zip(asked, groups, strict=True)
            for sample in group
        ]
        verdicts = grader.grade(pairs)
        assert low < verdicts.count("correct") / len(verdicts) < high
