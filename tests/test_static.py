"""Batches at fixed addresses: the log-probabilities of a full forward, greedy choices, draws that depend on the
prompt's own seed alone. CUDA graphs themselves need a GPU and are not run here."""

from __future__ import annotations

import pytest
import torch
from scipy.stats import chi2_contingency

from dopr.policy.logprobs import completion_logprobs
from dopr.rollout import static
from dopr.rollout.decoder import Decoder
from dopr.rollout.static import uniform_numbers
from dopr.rollout.torch_engine import TorchEngine

PROMPTS = [[5, 9, 3], [7], [4, 4, 4, 4, 4, 4, 8], [11, 12]]
NEW = 40


@pytest.fixture
def engine(reference) -> TorchEngine:
    """Four tokens end a completion, so that some are short."""
    return TorchEngine(Decoder.from_folder(reference.folder), range(4), static=True)


def tokens(groups: list) -> list:
    return [sample.tokens for group in groups for sample in group]


@pytest.mark.parametrize(("temperature", "read_in"), [(1.0, 8), (0.7, 128)])
def test_log_probabilities_are_those_of_a_full_forward(engine, reference, monkeypatch, temperature, read_in):
    """Rows end at many lengths, so that the others move to the front, more than once."""
    monkeypatch.setattr(static, "READ_IN", read_in)
    monkeypatch.setattr(static, "LOOK_EVERY", 3)
    sizes = []
    any_left = static.StaticBatch._any_left
    monkeypatch.setattr(static.StaticBatch, "_any_left", lambda batch: (sizes.append(batch.rows), any_left(batch))[1])
    samples = [sample for group in engine.generate(PROMPTS, 16, temperature, NEW, seed=1) for sample in group]
    assert sizes[0] == 64
    assert len(set(sizes)) > 2
    assert len({len(sample.tokens) for sample in samples}) > 5
    prompts = [prompt for prompt in PROMPTS for _ in range(16)]
    with torch.no_grad():
        drawn = [sample.tokens for sample in samples]
        expected, mask = completion_logprobs(reference.policy, prompts, drawn, temperature)
    drawn = torch.cat([torch.tensor(sample.logprobs) for sample in samples])
    torch.testing.assert_close(drawn, expected[mask], atol=1e-5, rtol=1e-5)


def test_greedy_choices_are_those_of_the_other_way_of_sampling(engine):
    plain = TorchEngine(engine.decoder, range(4))
    assert not plain.static
    for ours, theirs in zip(*(e.generate(PROMPTS, 1, 0.0, NEW, 0) for e in (engine, plain)), strict=True):
        assert ours[0].tokens == theirs[0].tokens
        assert ours[0].finish == theirs[0].finish


def test_what_is_drawn_for_a_prompt_does_not_depend_on_the_others(engine, monkeypatch):
    """The prompts from the third on, alone, with the seed of the third: what several processes share out."""
    together = engine.generate(PROMPTS, 4, 1.0, NEW, seed=100)
    apart = engine.generate(PROMPTS[2:], 4, 1.0, NEW, seed=100 + 2 * 4)
    assert tokens(together[2:]) == tokens(apart)
    monkeypatch.setattr(static, "MOST_ROWS", 5)
    monkeypatch.setattr(static, "READ_AT_ONCE", 2)
    assert tokens(engine.generate(PROMPTS, 4, 1.0, NEW, seed=100)) == tokens(together)


def test_tokens_are_distributed_as_in_the_other_way_of_sampling(engine):
    plain = TorchEngine(engine.decoder, range(4))
    counts = []
    for each in (engine, plain):
        (samples,) = each.generate([PROMPTS[2]], 1000, 1.0, 3, seed=6)
        third = [sample.tokens[2] for sample in samples if len(sample.tokens) == 3]
        counts.append(torch.bincount(torch.tensor(third), minlength=50))
    table = torch.stack(counts)
    assert chi2_contingency(table[:, table.sum(0) >= 10]).pvalue > 1e-3


def test_a_step_has_one_recording_for_each_number_of_rows_and_places(engine, monkeypatch):
    """And each is made once: what a GPU would capture."""
    monkeypatch.setattr(static, "READ_IN", 16)
    monkeypatch.setattr(static, "LOOK_EVERY", 4)
    made = []
    monkeypatch.setattr(static, "captured", lambda step, changed, pool: (made.append(len(changed)), step)[1])
    engine.goes_on[:] = True
    engine.generate(PROMPTS, 2, 1.0, 57, seed=0)  # places 7 to 63, in four sixteens
    assert len(made) == 4


def test_uniform_numbers_are_of_each_samples_seed():
    numbers = uniform_numbers([3, 9], 5)
    assert numbers.shape == (2, 5)
    assert torch.equal(numbers[1:], uniform_numbers([9], 5))
    assert not torch.equal(numbers[0], numbers[1])
