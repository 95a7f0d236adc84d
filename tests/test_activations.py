"""The memory of activations that a plan states: by hand, and held to what autograd keeps of the real network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from dopr.config.recipe import Lora, Recipe, Reuse
from dopr.config.schema import Config
from dopr.models import network as policies
from dopr.models import packing
from dopr.models.attention import PACKED
from dopr.models.logprobs import completion_logprobs, logprobs_and_entropy
from dopr.models.lora import add_adapters
from dopr.models.network import Policy, checkpoint_layers
from dopr.planning.activations import activations, final_norm_bytes, layer_bytes, logit_bytes
from dopr.planning.cost import memory
from dopr.planning.shape import Shape, shape_of
from dopr.planning.work import Lengths, update_rows
from dopr.workflow.preflight import read_config
from dopr.workflow.rule_params import RuleParams
from fixture_activations import saved_bytes
from project import ROOT

SHAPE = Shape(
    parameters=1000,
    layers=3,
    heads=2,
    hidden_size=10,
    intermediate_size=40,
    query_size=8,
    key_size=4,
    vocab_size=100,
    max_length=64,
)
ROWS, LENGTH, PROMPT = 4, 512, 16  # tokens read of each row, of which a prompt


def changed(recipe: Recipe, entropy: float = 0.0, **changes: Any) -> Recipe:
    loss = recipe.loss.model_copy(update={"entropy": entropy})
    return recipe.model_copy(update={**changes, "loss": loss})


# --- by hand ---


def test_a_layer_and_the_logits_of_a_token_by_hand(config: Config) -> None:
    """Four times 10, three times 8, twice 4 and four times 40: 232 numbers; in float32 twice 10 + 1, and two heads."""
    assert layer_bytes(SHAPE, 4) == 4 * 232 + 4 * 24
    assert layer_bytes(SHAPE, 2) == 2 * 232 + 4 * 24
    recipe = config.recipes["grpo"]
    assert final_norm_bytes(SHAPE, 4) == 3 * 10 * 4
    assert final_norm_bytes(SHAPE, 2) == 10 * 4 + 2 * 10 * 2
    assert logit_bytes(recipe, SHAPE) == 3 * 100 * 4
    assert logit_bytes(changed(recipe, entropy=0.1), SHAPE) == 4 * 100 * 4


def test_the_keys_bound_the_peak(config: Config) -> None:
    """Eight rows of 10 + 30 tokens: 320 tokens, of which 240 have logits; parts of at most 100 tokens."""
    recipe, layer, end = config.recipes["grpo"], layer_bytes(SHAPE, 4), final_norm_bytes(SHAPE, 4)
    found = {
        (tokens, checkpointing): activations(
            changed(recipe, micro_batch_tokens=tokens, gradient_checkpointing=checkpointing), SHAPE, 10, 30, 8, 4
        )
        for tokens in (None, 100, 20, 10_000)
        for checkpointing in (False, True)
    }
    assert found[None, False] == 320 * (3 * layer + end) + 240 * 1200 == found[10_000, False]
    assert found[None, True] == 320 * (3 * 40 + end) + max(320 * layer, 240 * 1200)
    assert found[100, False] == 100 * (3 * layer + end) + 75 * 1200
    assert found[100, True] == 100 * (3 * 40 + end) + 100 * layer
    assert found[20, False] == 40 * (3 * layer + end) + 30 * 1200  # a row of 40 is a part of its own
    wide = replace(SHAPE, vocab_size=2**20)  # of which 64 tokens have logits at once
    again = changed(recipe, gradient_checkpointing=True)
    assert activations(again, wide, 10, 30, 8, 4) == 320 * (3 * 40 + end) + 64 * 3 * 2**20 * 4
    assert activations(recipe, wide, 10, 30, 8, 4) == 320 * (3 * layer + end) + 64 * 3 * 2**20 * 4


def test_rows_of_an_update_are_those_of_a_mini_batch_with_what_is_replayed(config: Config) -> None:
    recipe = config.recipes["grpo"]  # 16 x 8
    assert update_rows(recipe) == 128
    assert update_rows(recipe.model_copy(update={"minibatches": 4, "epochs": 3})) == 32
    assert update_rows(recipe.model_copy(update={"reuse": Reuse(groups=2, window=4)})) == 128 + 2 * 8


# --- against the network ---


def network(layers: int, dtype: torch.dtype, kind: str = "qwen2", **changes: int) -> tuple[Policy, Shape]:
    config = {
        "vocab_size": 100,
        "hidden_size": 64,
        "intermediate_size": 192,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 1024,
        "tie_word_embeddings": True,
        **changes,
    }
    made = AutoModelForCausalLM.from_config(AutoConfig.for_model(kind, **config), attn_implementation=PACKED)
    return Policy(made.to(dtype).eval()), Shape.of({"model_type": kind, **config})


def kept(
    policy: Policy, score: Any, monkeypatch: pytest.MonkeyPatch, shared: bool = False, length: int = LENGTH
) -> int:
    """Bytes kept for the gradient of ROWS rows of LENGTH, or as many tokens in rows of another length; score: what is
    computed of them. shared: prompts are read once."""
    monkeypatch.setattr(packing, "MAX_SHARED_SCORES", 2**22 if shared else 0)
    rows = ROWS * LENGTH // length
    prompts = [tuple(range(PROMPT))] * rows
    completions = [tuple(i % 50 for i in range(length - PROMPT + 1))] * rows  # the last token is not read
    return saved_bytes(policy, lambda: score(policy, prompts, completions, 1.0))


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"hidden_size": 160},
        {"intermediate_size": 480},
        {"num_attention_heads": 8},
        {"num_attention_heads": 8, "num_key_value_heads": 8},
    ],
)
def test_a_layer_keeps_what_the_plan_says(
    monkeypatch: pytest.MonkeyPatch, kind: str, dtype: torch.dtype, changes: dict[str, int]
) -> None:
    """In rows of 32: PyTorch has a faster way for longer ones in bfloat16, which fails where AVX-512 is turned off."""
    few, many = (
        kept(network(n, dtype, kind, **changes)[0], completion_logprobs, monkeypatch, length=32) for n in (1, 3)
    )
    planned = ROWS * LENGTH * layer_bytes(network(1, dtype, kind, **changes)[1], dtype.itemsize)
    assert (many - few) / 2 == pytest.approx(planned, rel=0.03)


def test_the_bias_of_a_packed_batch_is_there_once_and_not_in_each_layer(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompts are read once: of 4 * 512 tokens, 3 * 16 fewer than the plan has. Two query heads share a key head."""
    few, many = (kept(network(n, torch.float32)[0], completion_logprobs, monkeypatch, shared=True) for n in (1, 3))
    layer = layer_bytes(network(1, torch.float32)[1], 4)
    assert (many - few) / 2 == pytest.approx(ROWS * LENGTH * layer, rel=0.03)
    bias = 2 * ROWS * (LENGTH - PROMPT) * LENGTH * 4
    assert few - (many - few) / 2 > bias


def test_a_layer_with_adapters_keeps_little_more(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("peft")
    found = []
    for layers in (1, 3):
        policy, shape = network(layers, torch.float32)
        add_adapters(policy.network, Lora(rank=2, alpha=2), 0)
        found.append(kept(policy, completion_logprobs, monkeypatch))
    assert (found[1] - found[0]) / 2 == pytest.approx(ROWS * LENGTH * layer_bytes(shape, 4), rel=0.1)


@pytest.mark.parametrize("pieces", [False, True])
@pytest.mark.parametrize("shared", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
@pytest.mark.parametrize("entropy", [0.0, 0.1])
def test_a_whole_update_keeps_what_the_plan_says(
    monkeypatch: pytest.MonkeyPatch, config: Config, checkpointing: bool, entropy: float, shared: bool, pieces: bool
) -> None:
    """Less what is not kept for backward but made in it: a piece of the logits, or two gradients of all of them; and
    where it is recomputed, a layer."""
    recipe = changed(config.recipes["grpo"], entropy, gradient_checkpointing=checkpointing)
    policy, shape = network(12, torch.float32, vocab_size=4000)
    if checkpointing:
        checkpoint_layers(policy.network)
    if pieces:
        monkeypatch.setattr(policies, "MAX_LOGITS", 32 * 4000)
    score = logprobs_and_entropy if entropy else completion_logprobs
    planned = activations(recipe, shape, PROMPT, LENGTH - PROMPT, ROWS, 4)
    again = ROWS * LENGTH * layer_bytes(shape, 4) if checkpointing else 32 * logit_bytes(recipe, shape)
    planned -= again if pieces else 2 * ROWS * (LENGTH - PROMPT) * 4000 * 4
    assert kept(policy, score, monkeypatch, shared) == pytest.approx(planned, rel=0.1)


def test_adapters_are_as_many_as_the_plan_says() -> None:
    pytest.importorskip("peft")
    for settings in (Lora(rank=3, alpha=6), Lora(rank=2, alpha=2, targets=["k_proj", "down_proj"])):
        policy, shape = network(2, torch.float32)
        add_adapters(policy.network, settings, 0)
        assert shape.adapter_parameters(settings) == sum(w.numel() for w in policy.parameters() if w.requires_grad)


# --- the machines of the experiments ---


def planned(*names: str, gpus: int) -> dict[str, float]:
    paths = [ROOT / "config.yaml", *(ROOT / f"experiments/{name}.yaml" for name in names)]
    config = read_config(paths)
    shape = shape_of(config)
    return memory(
        RuleParams(config).recipe("grpo"), config.rollout, shape, Lengths(150, config.rollout.max_new_tokens), gpus
    )


@pytest.mark.parametrize("question", ["one_shot_rlvr", "dopr_vs_grpo"])
def test_the_small_model_fits_one_gpu_and_the_large_one_eight(question: str, monkeypatch: pytest.MonkeyPatch) -> None:
    one = planned(f"papers/{question}", "gpu1", gpus=1)
    assert sum(one.values()) == pytest.approx(56e9, rel=0.01)
    eight = planned(f"papers/{question}", "papers/qwen7b", "gpu8", gpus=8)
    assert sum(eight.values()) - min(eight["activations"], eight["cache"]) < 70e9  # not there at the same time
    assert planned(f"papers/{question}", gpus=1)["activations"] > 500 * one["activations"]


def test_memory_with_adapters_and_with_vllm_by_hand(config: Config, tmp_path: Path) -> None:
    """Rank 2 on q_proj of three layers: 3 * 2 * (10 + 8) = 108 parameters of the 1000."""
    lora, lengths = Lora(rank=2, alpha=4, targets=["q_proj"]), Lengths(10, 20)
    recipe = changed(config.recipes["grpo"], lora=lora, dtype="bfloat16")
    recipe = recipe.model_copy(update={"loss": recipe.loss.model_copy(update={"kl": 0.1})})
    found = memory(recipe, config.rollout, SHAPE, lengths, 1)
    assert (found["weights"], found["sampler"], found["reference"]) == (2216, 2000, 0)
    assert (found["gradients"], found["optimiser"]) == (6 * 108, 12 * 108)
    assert found["cache"] == 128 * 30 * 24 * 2
    vllm = config.rollout.model_copy(update={"engine": "vllm", "kv_cache_gb": 1e-6})
    found = memory(recipe, vllm, SHAPE, lengths, 1)
    assert (found["sampler"], found["cache"]) == (2000, 2**30 / 1e6)
    shared = vllm.model_copy(update={"tensor_parallel": 2})
    found = memory(recipe, shared, SHAPE, lengths, 4)
    assert (found["sampler"], found["cache"]) == (1000, 2**30 / 1e6)
    assert memory(recipe, config.rollout, SHAPE, lengths, 4)["sampler"] == 2000
