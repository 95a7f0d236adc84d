"""Kinds of model: trained, sampled, evaluated, saved and resumed; and which are refused, with what to do."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tokenizers import Tokenizer
from transformers import (
    AutoModelForCausalLM,
    CohereConfig,
    DeepseekV2Config,
    Gemma3TextConfig,
    GPT2Config,
    GPTNeoXConfig,
    GptOssConfig,
    GraniteConfig,
    LlamaConfig,
    MambaConfig,
    MistralConfig,
    Olmo2Config,
    Phi3Config,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3Config,
    Qwen3MoeConfig,
    SmolLM3Config,
)

from dopr.config.recipe import Lora, Recipe, Reward
from dopr.config.schema import Config
from dopr.errors import UserError
from dopr.evaluation.evaluate import EvaluationCost, EvaluationSettings, evaluate
from dopr.files import DataError
from dopr.grading.grader import Grader
from dopr.models import checkpoint_io
from dopr.models.kinds import check_kind
from dopr.models.logprobs import completion_logprobs
from dopr.models.model_folder import check_folder, end_tokens
from dopr.models.network import takes_packed
from dopr.records import Prompt
from dopr.rollout.torch_engine import TorchEngine
from dopr.training.train import train
from fixture_run import StoppedError, make_run

SMALL: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 96,
    "pad_token_id": 0,
    "bos_token_id": None,
    "eos_token_id": 1,
}
HEAD: dict[str, Any] = {**SMALL, "head_dim": 16}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}
YARN = {"rope_type": "yarn", "rope_theta": 1e4, "factor": 3.0, "original_max_position_embeddings": 32}
MIXTURE = {"num_experts_per_tok": 2, "moe_intermediate_size": 24}
LATENT = {"kv_lora_rank": 16, "qk_nope_head_dim": 16, "qk_rope_head_dim": 8, "v_head_dim": 16, "q_lora_rank": None}
KINDS: dict[str, tuple[type[PreTrainedConfig], dict[str, Any]]] = {
    "Llama, tied": (LlamaConfig, {**SMALL, "tie_word_embeddings": True}),
    "Llama, llama3 rope": (LlamaConfig, {**SMALL, "rope_parameters": LLAMA3}),
    "Llama, yarn rope": (LlamaConfig, {**SMALL, "rope_parameters": YARN}),
    "Qwen2": (Qwen2Config, SMALL),
    "Qwen2, sliding window": (
        Qwen2Config,
        {**SMALL, "use_sliding_window": True, "sliding_window": 8, "max_window_layers": 1},
    ),
    "Qwen3": (Qwen3Config, HEAD),
    "Qwen3-MoE": (Qwen3MoeConfig, {**HEAD, **MIXTURE, "num_experts": 4}),
    "Gemma 3": (Gemma3TextConfig, {**HEAD, "sliding_window": 8, "final_logit_softcapping": 5.0}),
    "Mistral": (MistralConfig, {**SMALL, "sliding_window": None}),
    "Mistral, sliding window": (MistralConfig, {**SMALL, "sliding_window": 8}),
    "OLMo2": (Olmo2Config, SMALL),
    "SmolLM3": (SmolLM3Config, {**SMALL, "no_rope_layer_interval": 2}),
    "Phi-3": (Phi3Config, SMALL),
    "Granite": (GraniteConfig, {**SMALL, "logits_scaling": 4.0, "residual_multiplier": 0.5}),
    "GPT-NeoX": (GPTNeoXConfig, {key: value for key, value in SMALL.items() if key != "num_key_value_heads"}),
    "DeepSeek-V2": (
        DeepseekV2Config,
        {**SMALL, **MIXTURE, **LATENT, "num_key_value_heads": 4, "n_routed_experts": 4, "first_k_dense_replace": 1},
    ),
    "Cohere": (CohereConfig, {**SMALL, "logit_scale": 0.25}),
    "GPT-OSS": (GptOssConfig, {**HEAD, "num_local_experts": 4, "num_experts_per_tok": 2, "sliding_window": 8}),
    "GPT-2": (GPT2Config, {"n_embd": 32, "n_layer": 2, "n_head": 4, "n_positions": 96, "eos_token_id": 1}),
}
PADDED = ("Qwen2, sliding window", "Gemma 3", "Mistral, sliding window", "GPT-OSS")  # whose attention is not plain
POOL = [Prompt(f"p{i}", f"compute {i} + {7 * i}\n", str(8 * i), "chain1") for i in range(4)]
GAP = 1e-3  # nats; in float32 both sides round 2^-24 in each of some hundred operations


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """The name of a kind, and a folder with a random model of it."""
    settings, changes = KINDS[request.param]
    folder = tmp_path_factory.mktemp("kind") / "model"
    vocabulary = Tokenizer.from_file(str(tiny / "tokenizer.json")).get_vocab_size()
    torch.manual_seed(0)
    network = AutoModelForCausalLM.from_config(settings(vocab_size=vocabulary, **changes))
    with torch.no_grad():
        for weight in network.parameters():
            if weight.ndim > 1:
                weight.normal_(0, 0.2)
    network.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copyfile(tiny / name, folder / name)
    return request.param, folder


@pytest.fixture(scope="module")
def grader(config: Config) -> Any:
    with Grader(config.verify) as grader:
        yield grader


def recipe_of(config: Config, method: str, **changes: Any) -> Recipe:
    """Three steps of a method, with random rewards, so that there is something to learn from."""
    small = {"steps": 3, "group_size": 4, "learning_rate": 0.01, "reward": Reward(kind="random")}
    if method == "grpo":
        small["prompts_per_step"] = 2
    else:
        small["options"] = {"candidates": 4, "prior_rollouts": 0}
    return config.recipes[method].model_copy(update=small | changes)


@pytest.mark.parametrize("method", ["grpo", "dopr"])
def test_three_steps_are_resumed_with_the_same_bytes(
    kind: Any, config: Config, grader: Any, tmp_path: Path, method: str
) -> None:
    recipe = recipe_of(config, method)
    whole = make_run(kind[1], tmp_path / "whole", POOL, recipe, grader)
    train(whole)
    assert sum(row["updated"] for row in whole.metrics) > 0
    assert max(row["logprob_gap_high"] for row in whole.metrics) < GAP
    stopped = make_run(kind[1], tmp_path / "stopped", POOL, recipe, grader, stop_at=3)
    with pytest.raises(StoppedError):
        train(stopped)
    again = make_run(kind[1], tmp_path / "stopped", POOL, recipe, grader)
    train(again)
    assert again.metrics == whole.metrics
    ours, theirs = again.policy.state_dict(), whole.policy.state_dict()
    assert all(torch.equal(ours[name], weight) for name, weight in theirs.items())


def test_adapters_are_trained_and_sampled_with(kind: Any, config: Config, grader: Any, tmp_path: Path) -> None:
    pytest.importorskip("peft")
    run = make_run(kind[1], tmp_path, POOL, recipe_of(config, "grpo", lora=Lora(rank=2, alpha=4), steps=2), grader)
    start = {name: weight.clone() for name, weight in run.policy.state_dict().items()}
    train(run)
    assert sum(row["updated"] for row in run.metrics) > 0
    assert max(row["logprob_gap_high"] for row in run.metrics) < GAP
    state = run.policy.state_dict()
    assert any(weight.any() for name, weight in state.items() if ".lora_B" in name)
    frozen = {name.replace(".base_layer", ""): weight for name, weight in state.items() if ".lora_" not in name}
    assert frozen.keys() == start.keys()
    assert all(torch.equal(frozen[name], weight) for name, weight in start.items())
    checkpoint_io.save(run.policy, tmp_path / "saved", like=kind[1])
    ids = torch.randint(3, 40, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        merged = AutoModelForCausalLM.from_pretrained(tmp_path / "saved")(ids).logits
        torch.testing.assert_close(merged, run.policy.network(ids).logits, atol=1e-4, rtol=1e-4)


def test_a_checkpoint_loads_in_transformers_and_is_evaluated(kind: Any, grader: Any, tmp_path: Path) -> None:
    name, folder = kind
    check_folder(folder)
    policy = checkpoint_io.load(folder)
    assert takes_packed(policy.network) is (name not in PADDED)
    with torch.no_grad():
        for weight in policy.parameters():
            weight += 0.01
    checkpoint_io.save(policy, tmp_path / "saved", like=folder)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path / "saved", attn_implementation="eager")
    ids = torch.randint(3, 40, (2, 20), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected = theirs(ids).logits
        torch.testing.assert_close(policy.network(ids).logits, expected, atol=1e-4, rtol=1e-4)
        logprobs, _ = completion_logprobs(policy, ids[:, :9].tolist(), ids[:, 9:].tolist(), 1.0)
    drawn = expected[:, 8:-1].log_softmax(-1).gather(-1, ids[:, 9:, None]).squeeze(-1)
    torch.testing.assert_close(logprobs, drawn, atol=1e-4, rtol=1e-4)
    engine, tokenizer = TorchEngine.from_folder(folder), Tokenizer.from_file(str(folder / "tokenizer.json"))
    engine.load_folder(tmp_path / "saved")
    protocol = EvaluationSettings({"chain1": 2}, {"chain1": 1.0}, 8)
    table = evaluate(engine, tokenizer, grader, POOL, protocol, 0, EvaluationCost(0, 0, 0))
    assert table.num_rows == 3 * len(POOL)


def test_samples_of_prompts_of_unlike_lengths_have_the_log_probabilities_of_a_full_forward(kind: Any) -> None:
    """Padding, finished rows that are dropped, and windows that are left behind."""
    policy = checkpoint_io.load(kind[1])
    engine = TorchEngine(policy.network, end_tokens(kind[1]))
    prompts = [[5, 9, 11, 40, 3, 2, 8, 30, 31, 32, 33, 34], [7], [6, 6, 21]]
    samples = [sample for group in engine.generate(prompts, 4, 0.8, 24, seed=1) for sample in group]
    repeated = [prompt for prompt in prompts for _ in range(4)]
    with torch.no_grad():
        for prompt, sample in zip(repeated, samples, strict=True):
            logits = policy.network(torch.tensor([[*prompt, *sample.tokens]])).logits[0].float() / 0.8
            expected = logits[len(prompt) - 1 : -1].log_softmax(-1)[range(len(sample.tokens)), list(sample.tokens)]
            torch.testing.assert_close(torch.tensor(sample.logprobs), expected, atol=1e-4, rtol=1e-4)


# --- what is refused ---


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        ({"model_type": "qwen4"}, r"transformers [\d.]+ has no causal language model of model type 'qwen4'.*qwen\d"),
        (
            {"model_type": "own", "auto_map": {"AutoModelForCausalLM": "x.Y"}},
            "code that comes with a model is never run",
        ),
        ({"model_type": "t5", "is_encoder_decoder": True}, "an encoder and a decoder; give a decoder-only model"),
        (
            {"model_type": "llama", "quantization_config": {"quant_method": "gptq"}},
            r"quantised \(gptq\) and cannot be trained; give the model they were made from",
        ),
    ],
)
def test_a_kind_that_cannot_be_trained_is_refused_with_what_to_do(config: dict[str, Any], problem: str) -> None:
    with pytest.raises(ValueError, match=problem) as caught:
        check_kind(config)
    assert "\n" not in str(caught.value)


def test_the_torch_engine_refuses_layers_that_keep_other_states() -> None:
    network = AutoModelForCausalLM.from_config(MambaConfig(vocab_size=40, hidden_size=16, num_hidden_layers=1))
    with pytest.raises(UserError, match=r"torch cannot sample from model type 'mamba'.*set it to vllm"):
        TorchEngine(network, [1])


def test_an_attention_that_is_not_there_is_one_line(tiny: Path) -> None:
    with pytest.raises(DataError, match=r"not a usable checkpoint .*FlashAttention2") as caught:
        checkpoint_io.load(tiny, attention="flash_attention_2")
    assert "\n" not in str(caught.value)


def test_eager_attention_reads_padded_rows_and_gives_the_same(tiny: Path) -> None:
    prompts, completions = [(5, 6, 7), (5, 6, 7), (8,)], [(9, 10, 1), (4,), (11, 12)]
    policies = [checkpoint_io.load(tiny, attention=name) for name in (None, "eager")]
    assert [takes_packed(policy.network) for policy in policies] == [True, False]
    with torch.no_grad():
        ours, theirs = (completion_logprobs(policy, prompts, completions, 1.0)[0] for policy in policies)
    torch.testing.assert_close(ours, theirs, atol=1e-5, rtol=1e-5)
