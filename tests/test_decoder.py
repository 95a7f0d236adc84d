"""The cached decoder: the same logits as a full forward, whatever the padding, the chunks and the order of rows."""

from __future__ import annotations

import pytest
import torch

from dopr.rollout.decoder import Decoder

CLOSE = {"atol": 1e-5, "rtol": 1e-5}
PROMPTS = [[5, 9, 11, 40, 3, 2, 8], [7], [6, 6, 21], [33, 20, 10, 4]]


@pytest.fixture
def decoder(reference) -> Decoder:
    return Decoder.from_folder(reference.folder)


@pytest.fixture
def expected(reference) -> torch.Tensor:
    """Logits of transformers after the last token of each prompt, one prompt at a time."""
    with torch.no_grad():
        return torch.stack([reference.model(torch.tensor([prompt])).logits[0, -1] for prompt in PROMPTS])


def padded() -> tuple[torch.Tensor, torch.Tensor]:
    """The prompts padded on the left with 0, and the padding of each."""
    offset = torch.tensor([7 - len(prompt) for prompt in PROMPTS])
    return torch.tensor([[0] * (7 - len(prompt)) + prompt for prompt in PROMPTS]), offset


def test_prompts_of_different_lengths_get_the_logits_they_have_alone(decoder, expected):
    tokens, offset = padded()
    torch.testing.assert_close(decoder.forward(tokens, decoder.new_cache(offset, 7)), expected, **CLOSE)


@pytest.mark.parametrize("cuts", [[3, 4], [5, 2], [6, 1]])
def test_padded_prompts_read_in_pieces_give_the_same_as_in_one(decoder, expected, cuts):
    tokens, offset = padded()
    cache = decoder.new_cache(offset, 10)
    for piece in tokens.split(cuts, 1):
        logits = decoder.forward(piece, cache)
    torch.testing.assert_close(logits, expected, **CLOSE)
    assert cache.filled == 7


def test_a_prompt_read_token_by_token_gives_the_same_as_in_one(decoder, expected):
    for prompt, logits in zip(PROMPTS, expected, strict=True):
        cache = decoder.new_cache(torch.tensor([0]), len(prompt))
        for token in prompt:
            found = decoder.forward(torch.tensor([[token]]), cache)
        torch.testing.assert_close(found[0], logits, **CLOSE)


def test_rows_can_be_repeated_dropped_and_reordered(decoder, reference):
    tokens, offset = padded()
    cache = decoder.new_cache(offset, 9)
    decoder.forward(tokens, cache)
    rows, new = torch.tensor([2, 0, 2, 3]), torch.tensor([[4, 5], [6, 7], [8, 9], [10, 11]])
    logits = decoder.forward(new, decoder.expand(cache, rows))
    for row, tail, found in zip(rows.tolist(), new.tolist(), logits, strict=True):
        with torch.no_grad():
            alone = reference.model(torch.tensor([PROMPTS[row] + tail])).logits[0, -1]
        torch.testing.assert_close(found, alone, **CLOSE)


def test_new_weights_replace_the_old_ones_everywhere(decoder, reference):
    tokens, offset = padded()
    moved = {name: weight + 0.05 for name, weight in reference.policy.state_dict().items()}
    other = Decoder(reference.policy.config, moved).forward(tokens, decoder.new_cache(offset, 7))
    before = decoder.forward(tokens, decoder.new_cache(offset, 7))
    decoder.load_weights(moved)
    assert torch.equal(decoder.forward(tokens, decoder.new_cache(offset, 7)), other)
    assert (other - before).abs().max() > 0.01


def test_positions_beyond_the_context_are_an_error(decoder):
    decoder.new_cache(torch.tensor([0, 1]), 64)
    with pytest.raises(IndexError):
        decoder.new_cache(torch.tensor([0, 1]), 65)
