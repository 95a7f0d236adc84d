"""Prompts read once for all their completions: outputs and gradients as if each row were read alone by transformers."""

from __future__ import annotations

import pytest
import torch

from dopr.models import packing
from dopr.models.logprobs import completion_logprobs
from dopr.models.packing import pack

PROMPTS = [(5, 9, 11, 40, 3), (7,), (5, 9, 11, 40, 3), (6, 6, 21), (5, 9, 11, 40, 3), (7,)]
COMPLETIONS = [(4, 8, 1), (1,), (2, 2, 9, 30, 31, 7, 1), (33, 20), (44,), (12, 13, 14, 15, 1)]
CLOSE = {"atol": 1e-5, "rtol": 1e-5}


def weighted(logprobs, mask):
    """A scalar in which each token has a weight of its own."""
    return (logprobs * torch.arange(1, mask.numel() + 1).view(mask.shape) * mask).sum() / mask.numel()


def gradients(network, loss) -> dict[str, torch.Tensor]:
    network.zero_grad()
    loss.backward()
    return {name: parameter.grad for name, parameter in network.named_parameters()}


def by_transformers(reference):
    """The same log-probabilities, a row at a time."""
    longest = max(map(len, COMPLETIONS))
    rows = []
    for prompt, completion in zip(PROMPTS, COMPLETIONS, strict=True):
        scores = reference.model(torch.tensor([prompt + completion])).logits[0].log_softmax(-1)
        found = scores[range(len(prompt) - 1, len(prompt) + len(completion) - 1), list(completion)]
        rows.append(torch.nn.functional.pad(found, (0, longest - len(found))))
    return torch.stack(rows)


@pytest.mark.parametrize("at_most", [packing.MAX_SHARED_SCORES, 0])
def test_outputs_and_gradients_are_those_of_rows_read_alone(reference, monkeypatch, at_most):
    monkeypatch.setattr(packing, "MAX_SHARED_SCORES", at_most)
    expected = by_transformers(reference)
    ours, mask = completion_logprobs(reference.policy, PROMPTS, COMPLETIONS, 1.0)
    assert mask.sum(1).tolist() == [len(completion) for completion in COMPLETIONS]
    torch.testing.assert_close(ours, expected, **CLOSE)
    theirs = gradients(reference.model, weighted(expected, mask))
    found = gradients(reference.policy.network, weighted(ours, mask))
    assert found.keys() == theirs.keys()
    for name, gradient in found.items():
        torch.testing.assert_close(gradient, theirs[name], atol=1e-4, rtol=1e-4)


def test_completions_of_one_token_need_only_their_prompts(reference):
    ours, mask = completion_logprobs(reference.policy, PROMPTS[:2], [(4,), (8,)], 1.0)
    both, _ = completion_logprobs(reference.policy, PROMPTS[:2], [(4, 9), (8, 9)], 1.0)
    assert mask.all()
    torch.testing.assert_close(ours, both[:, :1], **CLOSE)


def test_each_distinct_prompt_is_held_once_and_no_last_token_at_all():
    batch = pack([(7, 8), (9,), (7, 8)], [(1, 2, 3), (4, 5), (6,)], shared=True)
    assert batch.inputs["input_ids"].tolist() == [[7, 8, 9, 1, 2, 4]]
    assert batch.inputs["position_ids"].tolist() == [[0, 1, 0, 2, 3, 1]]
    assert batch.predictor_indices.tolist() == [1, 3, 4, 2, 5, 1]
    assert batch.targets.tolist() == [1, 2, 3, 4, 5, 6]
    assert batch.mask.tolist() == [[True, True, True], [True, True, False], [True, False, False]]


def test_beyond_the_memory_limit_each_completion_has_a_prompt_of_its_own(monkeypatch):
    monkeypatch.setattr(packing, "MAX_SHARED_SCORES", 0)
    batch = pack([(7, 8), (9,), (7, 8)], [(1, 2, 3), (4, 5), (6,)], shared=True)
    assert batch.inputs["input_ids"].tolist() == [[7, 8, 1, 2, 9, 4, 7, 8]]
    assert batch.predictor_indices.tolist() == [1, 2, 3, 4, 5, 7]
    assert all(segment.bias is None for segment in batch.inputs["segments"])


def test_where_attention_is_not_plain_rows_are_padded_on_the_right():
    batch = pack([(7, 8), (9,), (7, 8)], [(1, 2, 3), (4, 5), (6,)], shared=False)
    assert batch.inputs["input_ids"].tolist() == [[7, 8, 1, 2], [9, 4, 0, 0], [7, 8, 0, 0]]
    assert batch.inputs["attention_mask"].tolist() == [[1, 1, 1, 1], [1, 1, 0, 0], [1, 1, 0, 0]]
    assert batch.predictor_indices.tolist() == [1, 2, 3, 4, 5, 9]


def test_the_memory_limit_counts_the_scores_of_a_head(monkeypatch):
    rows = [(7, 8)] * 3, [(1, 2, 3, 4)] * 3  # three rows of three queries and five keys
    for limit, shared in ((45, True), (44, False)):
        monkeypatch.setattr(packing, "MAX_SHARED_SCORES", limit)
        tokens = pack(*rows, shared=True).inputs["input_ids"][0]
        assert (tokens[:3].tolist() == [7, 8, 1] and tokens[5:7].tolist() == [1, 2]) is shared
