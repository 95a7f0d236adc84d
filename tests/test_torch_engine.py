"""The sampler: log-probabilities and greedy choices of transformers, and the distribution it says it draws from."""

from __future__ import annotations

import copy

import pytest
import torch
from scipy.stats import chi2_contingency, chisquare

from dopr.models.logprobs import completion_logprobs
from dopr.models.lora import PolicyWeights
from dopr.rollout import torch_engine
from dopr.rollout.torch_engine import TorchEngine

PROMPTS = [[5, 9, 11, 40, 3, 2, 8], [7], [6, 6, 21], [33, 20, 10, 4]]
NEW = 40


@pytest.fixture
def engine(reference) -> TorchEngine:
    return TorchEngine.from_folder(reference.folder)


def flat(groups: list) -> list:
    return [sample for group in groups for sample in group]


def frequencies(samples: list, position: int = 0) -> torch.Tensor:
    return torch.bincount(torch.tensor([sample.tokens[position] for sample in samples]), minlength=50)


# --- log-probabilities ---


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_log_probabilities_are_those_of_a_full_forward(engine, reference, temperature):
    groups = engine.generate(PROMPTS, 3, temperature, NEW, seed=1)
    samples = flat(groups)
    prompts = [prompt for prompt in PROMPTS for _ in range(3)]
    with torch.no_grad():
        ours, mask = completion_logprobs(reference.policy, prompts, [sample.tokens for sample in samples], temperature)
        for i, (prompt, sample) in enumerate(zip(prompts, samples, strict=True)):
            scores = reference.model(torch.tensor([[*prompt, *sample.tokens]])).logits[0] / temperature
            places = range(len(prompt) - 1, len(prompt) + len(sample.tokens) - 1)
            theirs = scores.log_softmax(-1)[list(places), list(sample.tokens)]
            drawn = torch.tensor(sample.logprobs)
            torch.testing.assert_close(drawn, theirs, atol=1e-5, rtol=0)
            torch.testing.assert_close(drawn, ours[i][mask[i]], atol=1e-5, rtol=0)


def test_log_probabilities_stay_right_when_finished_rows_are_dropped_at_once(engine, reference, monkeypatch):
    monkeypatch.setattr(torch_engine, "COMPACT_BELOW", 1)
    samples = flat(engine.generate(PROMPTS, 8, 1.0, NEW, seed=2))
    assert len({len(sample.tokens) for sample in samples}) > 5
    prompts = [prompt for prompt in PROMPTS for _ in range(8)]
    with torch.no_grad():
        expected, mask = completion_logprobs(reference.policy, prompts, [sample.tokens for sample in samples], 1.0)
    drawn = torch.cat([torch.tensor(sample.logprobs) for sample in samples])
    torch.testing.assert_close(drawn, expected[mask], atol=1e-5, rtol=0)


# --- greedy ---


def test_greedy_choices_are_those_of_transformers(engine, reference):
    for prompt, (sample,) in zip(PROMPTS, engine.generate(PROMPTS, 1, 0.0, 24, seed=0), strict=True):
        theirs = reference.model.generate(torch.tensor([prompt]), max_new_tokens=24, do_sample=False, pad_token_id=0)
        assert list(sample.tokens) == theirs[0, len(prompt) :].tolist()


def test_what_is_drawn_for_a_prompt_does_not_depend_on_what_is_beside_it(engine):
    together = engine.generate(PROMPTS, 3, 1.0, NEW, seed=4)
    for i, prompt in enumerate(PROMPTS):
        (alone,) = engine.generate([prompt], 3, 1.0, NEW, seed=4 + 3 * i)
        assert [sample.tokens for sample in alone] == [sample.tokens for sample in together[i]]


def test_greedy_ignores_the_seed_and_when_rows_are_dropped_or_split_into_batches(engine, monkeypatch):
    prompts = [prompt[:length] for prompt in PROMPTS for length in (1, 2, 3, 7)]
    plain = [group[0].tokens for group in engine.generate(prompts, 1, 0.0, NEW, seed=0)]
    assert len(set(plain)) > 3
    for share, rows in ((0, 512), (1, 512), (0.75, 3)):
        monkeypatch.setattr(torch_engine, "COMPACT_BELOW", share)
        monkeypatch.setattr(torch_engine, "MAX_ROWS", rows)
        assert [group[0].tokens for group in engine.generate(prompts, 1, 0.0, NEW, seed=5)] == plain


# --- sampling ---


def test_equal_seeds_give_equal_samples_and_other_seeds_others(engine):
    first, again, other = (engine.generate(PROMPTS, 4, 1.0, NEW, seed) for seed in (3, 3, 4))
    assert first == again
    assert first != other


def test_samples_of_a_prompt_differ_and_come_in_its_place(engine):
    groups = engine.generate(PROMPTS, 4, 1.0, NEW, seed=3)
    assert [len(group) for group in groups] == [4] * len(PROMPTS)
    assert all(len({sample.tokens for sample in group}) > 1 for group in groups)


@pytest.mark.parametrize("temperature", [1.0, 0.7])
def test_first_tokens_are_drawn_from_the_softmax(engine, reference, temperature):
    (samples,) = engine.generate([PROMPTS[0]], 4000, temperature, 1, seed=5)
    with torch.no_grad():
        logits = reference.model(torch.tensor([PROMPTS[0]])).logits[0, -1].double()
    expected = 4000 * (logits / temperature).softmax(-1)
    common = expected >= 5
    observed = frequencies(samples).double()
    observed, expected = (torch.cat([part[common], part[~common].sum()[None]]) for part in (observed, expected))
    kept = expected > 0
    assert chisquare(observed[kept], expected[kept]).pvalue > 1e-3


def test_the_distribution_of_a_later_token_does_not_depend_on_when_rows_are_dropped(engine, monkeypatch):
    """A token drawn from another row's random number or cache would show here."""
    tables = []
    for share in (0, 1):
        monkeypatch.setattr(torch_engine, "COMPACT_BELOW", share)
        (samples,) = engine.generate([PROMPTS[2]], 4000, 1.0, 3, seed=6)
        tables.append(frequencies([sample for sample in samples if len(sample.tokens) == 3], 2))
    table = torch.stack(tables)
    assert chi2_contingency(table[:, table.sum(0) >= 10]).pvalue > 1e-3


def test_new_weights_change_what_is_drawn_and_how_likely_it_is(engine, reference):
    before = engine.generate(PROMPTS, 2, 1.0, 8, seed=7)
    changed = copy.deepcopy(reference.policy.network)
    with torch.no_grad():
        changed.model.norm.weight *= -1
    engine.load_weights(PolicyWeights(changed))
    after = engine.generate(PROMPTS, 2, 1.0, 8, seed=7)
    assert [sample.tokens for sample in flat(after)] != [sample.tokens for sample in flat(before)]
    fresh = TorchEngine(changed, [1])
    assert after == fresh.generate(PROMPTS, 2, 1.0, 8, seed=7)


# --- ends ---


def test_a_completion_ends_with_its_only_end_token_or_at_the_limit(engine):
    samples = flat(engine.generate(PROMPTS, 16, 1.0, NEW, seed=8))
    assert {sample.finish for sample in samples} == {"stop", "length"}
    for sample in samples:
        assert len(sample.logprobs) == len(sample.tokens)
        if sample.finish == "stop":
            assert sample.tokens[-1] == 1
            assert 1 not in sample.tokens[:-1]
        else:
            assert len(sample.tokens) == NEW
            assert 1 not in sample.tokens


def test_any_of_several_end_tokens_ends_a_completion(reference):
    engine = TorchEngine(reference.policy.network, range(25))
    samples = flat(engine.generate(PROMPTS, 16, 1.0, NEW, seed=9))
    assert len({sample.tokens[-1] for sample in samples if sample.finish == "stop"}) > 5
    assert all(min(sample.tokens[:-1], default=25) >= 25 for sample in samples)


def test_an_end_token_at_the_limit_counts_as_an_end(engine):
    (samples,) = engine.generate([PROMPTS[0]], 2000, 1.0, 1, seed=10)
    ended = [sample for sample in samples if sample.tokens == (1,)]
    assert ended
    assert {sample.finish for sample in ended} == {"stop"}


def test_what_does_not_fit_the_context_is_refused_with_both_lengths(engine):
    engine.generate(PROMPTS, 1, 1.0, 64 - 7, seed=0)
    with pytest.raises(ValueError, match=r"a prompt of 7 tokens and 58 new ones exceed the model's context of 64"):
        engine.generate(PROMPTS, 1, 1.0, 58, seed=0)
