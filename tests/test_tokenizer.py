"""The tokenizer: lossless on everything the task writes, and the same through transformers."""

from __future__ import annotations

import random

import pytest

from dopr.data.arithmetic import STYLES, solution
from dopr.data.families import draw
from dopr.data.tokenizer import EOS, PAD, UNKNOWN, build_tokenizer

FAMILIES = ["chain1", "chain5", "mul3", "eq1", "eq2", "word1", "word2", "mod1", "big1", "big2"]


def texts(count: int = 40) -> list[tuple[str, str]]:
    """Questions and solutions of every family in every style."""
    rng = random.Random(0)
    drawn = [draw(family, rng) for family in FAMILIES for _ in range(count)]
    return [(problem.question + "\n", solution(problem, style, rng)) for problem in drawn for style in STYLES]


def test_decoding_gives_every_text_back_and_no_token_is_unknown(tokenizer):
    unknown = tokenizer.token_to_id(UNKNOWN)
    for question, answer in texts():
        ids = tokenizer.encode(question + answer).ids
        assert tokenizer.decode(ids) == question + answer
        assert unknown not in ids


def test_a_question_and_its_answer_have_the_same_tokens_apart_and_together(tokenizer):
    for question, answer in texts(10):
        apart = tokenizer.encode(question).ids + tokenizer.encode(answer).ids
        assert apart == tokenizer.encode(question + answer).ids


def test_digits_are_single_tokens_and_words_take_their_space_along(tokenizer):
    assert tokenizer.encode("compute 417 * 358").tokens == ["compute", " ", *"417", " *", " ", *"358"]
    assert tokenizer.encode("\\boxed{-12}").tokens == ["\\boxed{", "-", "1", "2", "}"]
    assert tokenizer.encode("tom has 5 pens , how many ?\n").tokens[:2] == ["tom", " has"]


def test_the_special_tokens_have_fixed_ids_and_are_left_out_of_the_text(tokenizer):
    assert [tokenizer.token_to_id(token) for token in (PAD, EOS, UNKNOWN)] == [0, 1, 2]
    assert tokenizer.decode([*tokenizer.encode("so 3").ids, 1, 0, 0]) == "so 3"


def test_what_the_vocabulary_lacks_is_unknown(tokenizer):
    assert tokenizer.encode("so zebra").ids == [tokenizer.token_to_id("so"), 2]


def test_a_repeated_word_gets_one_id():
    assert build_tokenizer(["a", "b", "a"]).get_vocab_size() == 5


@pytest.fixture(scope="module")
def wrapped(tiny):
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast.from_pretrained(tiny)


def test_transformers_reads_the_saved_tokenizer_alike(tokenizer, wrapped):
    for question, answer in texts(5):
        ids = tokenizer.encode(question + answer).ids
        assert wrapped(question + answer)["input_ids"] == ids
        assert wrapped.decode([*ids, 1], skip_special_tokens=True) == question + answer


def test_transformers_knows_the_special_tokens(wrapped):
    assert (wrapped.pad_token_id, wrapped.eos_token_id, wrapped.unk_token_id) == (0, 1, 2)
