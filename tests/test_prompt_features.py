"""Vectors of prompts: unit length, alike where the prompts are, and independent of how prompts are batched."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer

import dopr.training.prompt_features as module
from dopr.models import checkpoint_io
from dopr.records import Prompt
from dopr.training.prompt_features import hidden_features, prompt_features, unit_rows

TEXTS = {
    "compute 12 + 7\n": "chain1",
    "compute 34 + 5\n": "chain1",
    "compute 417 * 358\n": "big1",
    "solve 3 x + 4 = 19\n": "eq1",
}
PROMPTS = [Prompt(f"p{i}", text, "0", family) for i, (text, family) in enumerate(TEXTS.items())]


@pytest.fixture
def made(tiny):
    tokenizer = Tokenizer.from_file(str(tiny / "tokenizer.json"))
    return lambda kind, prompts=PROMPTS: prompt_features(kind, prompts, partial(checkpoint_io.load, tiny), tokenizer)


@pytest.mark.parametrize("kind", ["text", "hidden", "label"])
def test_vectors_have_length_one_and_are_the_same_each_time(made, kind):
    vectors = made(kind)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, rtol=1e-5)
    assert vectors.dtype == np.float32
    np.testing.assert_array_equal(vectors, made(kind))


def test_texts_are_alike_by_shape_and_not_by_their_digits(made):
    likeness = made("text") @ made("text").T
    assert likeness[0, 1] == pytest.approx(1, abs=1e-6) or likeness[0, 1] > max(likeness[0, 2], likeness[0, 3]) + 0.1
    same = made("text", [PROMPTS[2], Prompt("q", "compute 902 * 111\n", "0", "big1")])
    assert same[0] @ same[1] == pytest.approx(1, abs=1e-6)


def test_what_all_texts_begin_and_end_with_tells_nothing(made):
    plain = ["what is 1 + 2?", "which is larger, 3 or 4?", "what is 77 times 8?"]
    chat = [f"<|user|>\n2 times 2?\n<|assistant|>\n4\n<|user|>\n{text}\n<|assistant|>\n" for text in plain]
    asked, wrapped = ([Prompt(f"p{i}", text, "0", "any") for i, text in enumerate(texts)] for texts in (plain, chat))
    np.testing.assert_allclose(made("text", wrapped), made("text", asked), atol=1e-6)


def test_texts_without_a_difference_are_alike(made):
    copies = [Prompt(f"p{i}", f"compute {i} + 7\n", "0", "chain1") for i in range(3)]
    np.testing.assert_allclose(made("text", copies) @ made("text", copies).T, 1, rtol=1e-5)


def test_labels_are_one_hot(made):
    np.testing.assert_array_equal(
        made("label") @ made("label").T, [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]]
    )


def test_hidden_states_are_averaged_over_the_prompt_and_batches_do_not_matter(tiny, monkeypatch):
    policy, prompts = checkpoint_io.load(tiny), [[3, 4, 5, 6], [7, 8], [9, 3, 4]]
    together = hidden_features(prompts, policy)
    with torch.no_grad():
        by_hand = policy.network.base_model(torch.tensor([prompts[1]])).last_hidden_state[0].mean(0).numpy()
    rounded = {"rtol": 0, "atol": 48 * 4 * 2**-24}  # sums of 48 products, of normed states that stay below 4
    np.testing.assert_allclose(together[1], by_hand, **rounded)
    monkeypatch.setattr(module, "BATCH", 1)
    np.testing.assert_allclose(hidden_features(prompts, policy), together, **rounded)


def test_a_row_of_zeros_stays():
    np.testing.assert_allclose(unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]], dtype=np.float32)), [[0.6, 0.8], [0, 0]])


def test_an_unknown_kind_is_named(made):
    with pytest.raises(ValueError, match="similarity 'smell' is unknown; known are text, hidden, label"):
        made("smell")
