"""Bounds of sampling and training, by numbers worked out by hand; what is measured of a machine is not asserted."""

from __future__ import annotations

import pytest
import torch

from dopr.files import read_json
from dopr.planning.shape import KNOWN, embedded
from dopr.roofline import Cost, Load, Machine, decoding, training

LARGE = read_json(KNOWN)["Qwen/Qwen2.5-Math-1.5B"]
SMALL = {
    "model_type": "llama",
    "hidden_size": 4,
    "intermediate_size": 8,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "vocab_size": 10,
    "max_position_embeddings": 64,
}
LAYERS = 2 * (4 * 4 + 2 * 4 * 2 + 4 * 4 + 3 * 4 * 8 + 2 * 4) + 4  # projections, feed-forward, norms


@pytest.mark.parametrize(
    ("bandwidth", "sequences", "tokens"),
    [
        (3.35e12, 8, 8.3e3),
        (3.35e12, 128, 76e3),
        (3.35e12, 1024, 145e3),
        (4.8e12, 8, 11.8e3),
        (4.8e12, 128, 109e3),
        (4.8e12, 1024, 208e3),
    ],
)
def test_the_ideal_speed_of_known_gpus_follows(bandwidth, sequences, tokens):
    """1.54e9 weights of two bytes a step, and 28,672 bytes for each of 700 tokens of each sequence."""
    cost = decoding(LARGE, Load(sequences, 1, 699, 2), 2)
    assert cost.moved == pytest.approx(2 * 1.544e9 + sequences * 700 * 28672, rel=1e-3)
    memory, arithmetic = cost.bounds(Machine(bandwidth, 989e12))
    assert sequences / memory == pytest.approx(tokens, rel=0.03)
    assert cost.least(Machine(bandwidth, 989e12)) == max(memory, arithmetic)


def test_costs_of_a_small_model():
    """Two prompts of three tokens, two completions of each, of two tokens."""
    load = Load(2, 2, 3, 2)
    cost = decoding(SMALL, load, 4)
    assert cost.moved == 4 * (LAYERS + 40) + 4 * 4 * 8 * (3 + 1)  # the head, not the embedding; 8 numbers a token
    assert cost.operations == 2 * 4 * (LAYERS + 40) + (4 * 2 * 2 * 2) * 4 * (3 + 1)
    update = training(SMALL, load, 4)
    assert update.moved == (12 + 28) * (LAYERS + 80)
    seen = 2 * 9 / 2 + 4 * 2 * (3 + 1)
    assert update.operations == 3 * (2 * (6 + 8) * LAYERS + 2 * 8 * 40 + 32 * seen)


def test_the_slower_of_memory_and_arithmetic_bounds():
    assert Cost(6, 5).bounds(Machine(3, 1)) == (2, 5)
    assert Cost(6, 1).least(Machine(3, 1)) == 2


def test_a_machine_is_measured(monkeypatch):
    monkeypatch.setattr("dopr.roofline.COPIED", {"cpu": 2**22})
    monkeypatch.setattr("dopr.roofline.SIDE", {"cpu": 64})
    machine = Machine.measured("cpu", torch.float32)
    assert machine.bandwidth > 0
    assert machine.peak > 0


def test_the_embedded_shape_is_that_of_the_shipped_configuration(config):
    listed, made = read_json(KNOWN)["embedded"], embedded(config.base.warm_start)
    made.pop("model_type")
    assert listed == {**made, "num_key_value_heads": made["num_attention_heads"], "attention_bias": True}
