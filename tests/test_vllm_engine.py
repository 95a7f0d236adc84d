"""The vLLM engine keeps the torch engine's promises: `make test-vllm`, in an environment that has vLLM."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd
import pytest
import torch
from safetensors.torch import save_file
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from dopr.config.recipe import Lora
from dopr.config.schema import SamplingParams
from dopr.evaluation.job import EvaluationJob
from dopr.evaluation.params import EvaluationParams
from dopr.files import write_prompts
from dopr.models import checkpoint_io
from dopr.models.lora import PolicyWeights, add_adapters, without_adapters
from dopr.models.network import Policy
from dopr.rollout import vllm_engine
from dopr.rollout.torch_engine import TorchEngine
from dopr.rollout.vllm_engine import VllmEngine, VllmError, start, with_head
from dopr.training.update import LogprobGap
from fixture_rollouts import make_prompt
from project import Project, edit

needs_vllm = pytest.mark.skipif(importlib.util.find_spec("vllm") is None, reason="vllm is not installed: make vllm")
SAMPLING = SamplingParams(temperature=1.0, max_new_tokens=8)
ROUNDED = 128 * 30 * 2**-24  # of float32: sums of 128 products, that stay below 30
PROMPTS = [[5, 6, 7, 8], [9, 10], [11, 12, 13, 14, 15, 16, 17]]


@pytest.fixture(scope="module", params=["tied", "untied"])
def folder(request: pytest.FixtureRequest, tokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A policy whose heads have 32 dimensions, as vLLM's CPU build wants, and with weights that say something."""
    made = tmp_path_factory.mktemp("vllm") / request.param
    shape = Qwen2Config(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=128,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=96,
        tie_word_embeddings=request.param == "tied",
        eos_token_id=1,
        bos_token_id=None,
    )
    Qwen2ForCausalLM(shape).save_pretrained(made)
    PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(made)
    weights, _ = checkpoint_io.checkpoint_tensors(scrambled(made, 0))
    save_file(weights, made / "model.safetensors", metadata={"format": "pt"})
    return made


def scrambled(folder: Path, seed: int) -> Policy:
    policy = checkpoint_io.load(folder)
    torch.manual_seed(seed)
    for parameter in policy.parameters():
        torch.nn.init.normal_(parameter, std=0.2)
    return policy


class Without:
    """The weights of a policy but for one, by its name in checkpoint files."""

    def __init__(self, policy: Policy, name: str) -> None:
        self.weights, self.name = PolicyWeights(policy.network), name

    def as_saved(self) -> Iterator[tuple[str, torch.Tensor]]:
        yield from ((name, weight) for name, weight in self.weights.as_saved() if name != self.name)


@pytest.fixture(scope="module")
def engine(folder: Path):
    return VllmEngine(folder, "float32", cache_gb=0.25)


def trainers(policy, prompt, tokens, temperature: float) -> torch.Tensor:
    """The trainer's log-probabilities of a completion."""
    ids = torch.tensor([[*prompt, *tokens]])
    with torch.no_grad():
        scores = (policy.network(ids).logits[0, len(prompt) - 1 : -1].float() / temperature).log_softmax(-1)
    return scores.gather(1, torch.tensor(tokens)[:, None])[:, 0]


@needs_vllm
@pytest.mark.slow
def test_log_probabilities_are_the_trainers_before_and_after_an_update(engine, folder):
    for seed, policy in ((0, checkpoint_io.load(folder)), (1, scrambled(folder, 1)), (2, scrambled(folder, 2))):
        if seed:
            engine.load_weights(PolicyWeights(policy.network))
        for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, 3, 0.8, 12, seed), strict=True):
            for sample in group:
                expected = trainers(policy, prompt, sample.tokens, 0.8)
                torch.testing.assert_close(torch.tensor(sample.logprobs), expected, atol=ROUNDED, rtol=0)


@needs_vllm
@pytest.mark.slow
def test_adapters_reach_it_merged(engine, folder):
    pytest.importorskip("peft")
    policy = scrambled(folder, 3)
    add_adapters(policy.network, Lora(rank=4, alpha=8), 0)
    for name, parameter in policy.named_parameters():
        if ".lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    engine.load_weights(PolicyWeights(policy.network))
    for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, 3, 0.8, 12, 0), strict=True):
        for sample in group:
            expected = trainers(policy, prompt, sample.tokens, 0.8)
            torch.testing.assert_close(torch.tensor(sample.logprobs), expected, atol=ROUNDED, rtol=0)
            with without_adapters(policy):
                assert (trainers(policy, prompt, sample.tokens, 0.8) - expected).abs().max() > 0.01


@needs_vllm
@pytest.mark.slow
def test_it_samples_from_the_folder_it_is_given(engine, folder, tmp_path):
    policy = scrambled(folder, 9)
    checkpoint_io.save(policy, tmp_path / "saved", like=folder)
    engine.load_folder(tmp_path / "saved")
    for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, 3, 1.0, 12, 0), strict=True):
        for sample in group:
            expected = trainers(policy, prompt, sample.tokens, 1.0)
            torch.testing.assert_close(torch.tensor(sample.logprobs), expected, atol=ROUNDED, rtol=0)


@needs_vllm
@pytest.mark.slow
def test_equal_seeds_give_equal_samples_and_others_others(engine):
    first, again, other = (engine.generate(PROMPTS, 4, 1.0, 10, seed) for seed in (3, 3, 4))
    assert [[sample.tokens for sample in group] for group in first] == [
        [sample.tokens for sample in group] for group in again
    ]
    assert first != other
    assert len({sample.tokens for sample in first[0]}) > 1


@needs_vllm
@pytest.mark.slow
def test_greedy_tokens_and_ends_are_the_torch_engines(engine, folder):
    policy = scrambled(folder, 5)
    engine.load_weights(PolicyWeights(policy.network))
    reference = TorchEngine.from_folder(folder)
    reference.load_weights(PolicyWeights(policy.network))
    ours, theirs = (e.generate(PROMPTS, 2, 0.0, 30, 0) for e in (engine, reference))
    assert [[(s.tokens, s.finish) for s in g] for g in ours] == [[(s.tokens, s.finish) for s in g] for g in theirs]


@needs_vllm
@pytest.mark.slow
def test_completions_end_with_their_end_token_or_at_the_limit(engine, folder):
    samples = [sample for group in engine.generate(PROMPTS, 40, 1.5, 20, 0) for sample in group]
    assert {sample.finish for sample in samples} == {"stop", "length"}
    for sample in samples:
        ended = sample.tokens[-1] in engine.ends
        assert ended == (sample.finish == "stop")
        assert ended or len(sample.tokens) == 20
        assert len(sample.logprobs) == len(sample.tokens)


@needs_vllm
@pytest.mark.slow
def test_more_prompts_than_are_read_at_once_are_sampled_from_the_same_distributions(engine, folder):
    """vLLM reads 4096 prompt tokens at a time; a prompt cut there has no random numbers to go back to on a CPU."""
    policy = scrambled(folder, 8)
    engine.load_weights(PolicyWeights(policy.network))
    prompts = [[5 + i % 20, 6 + i // 20, *range(7, 7 + i % 40)] for i in range(300)]
    assert sum(map(len, prompts)) > 4096
    groups = engine.generate(prompts, 1, 1.0, 4, 2)
    assert groups == engine.generate(prompts, 1, 1.0, 4, 2)
    for prompt, (sample,) in zip(prompts, groups, strict=True):
        expected = trainers(policy, prompt, sample.tokens, 1.0)
        torch.testing.assert_close(torch.tensor(sample.logprobs), expected, atol=ROUNDED, rtol=0)


@needs_vllm
@pytest.mark.slow
def test_what_does_not_fit_the_context_is_refused(engine):
    assert engine.context == 96
    with pytest.raises(ValueError, match="exceed the model's context of 96"):
        engine.generate(PROMPTS, 1, 1.0, engine.context, 0)


@needs_vllm
@pytest.mark.slow
def test_after_a_rest_it_samples_from_the_weights_it_is_given(engine, folder):
    """On a CPU vLLM's sleep keeps all memory; that it wakes, with new weights and no old cache, is all this shows."""
    policy = scrambled(folder, 3)
    engine.load_weights(PolicyWeights(policy.network))
    before = engine.generate(PROMPTS, 2, 1.0, 8, 1)
    engine.load_weights(PolicyWeights(scrambled(folder, 4).network))
    engine._llm.llm_engine.model_config.enable_sleep_mode = True
    engine.sleep()
    assert engine._asleep
    engine.load_weights(PolicyWeights(policy.network))
    assert not engine._asleep
    assert engine.generate(PROMPTS, 2, 1.0, 8, 1) == before


# --- engines of their own, each of which ends the one before, so they come last ---


@needs_vllm
@pytest.mark.slow
def test_in_bfloat16_it_agrees_with_the_trainer_to_rounding(folder):
    policy = scrambled(folder, 6).to(torch.bfloat16)
    engine = VllmEngine(folder, "bfloat16", cache_gb=0.25)
    engine.load_weights(PolicyWeights(policy.network))
    apart = [
        (torch.tensor(sample.logprobs) - trainers(policy, prompt, sample.tokens, 1.0)).abs().numpy()
        for prompt, group in zip(PROMPTS, engine.generate(PROMPTS, 4, 1.0, 12, 0), strict=True)
        for sample in group
    ]
    found, (mean, high) = LogprobGap.from_differences(apart), SAMPLING.gap_limits("bfloat16")
    assert 1e-4 < found.high < high / 2
    assert found.mean < mean / 2


@needs_vllm
@pytest.mark.slow
@pytest.mark.parametrize(("enforce_eager", "eager"), [(None, True), (False, False)])
@pytest.mark.parametrize("folder", ["tied"], indirect=True)
def test_on_a_cpu_it_is_compiled_only_where_that_is_asked_for_and_takes_new_weights_too(folder, enforce_eager, eager):
    engine, policy = VllmEngine(folder, "float32", 0.25, enforce_eager), scrambled(folder, 9)
    assert engine._llm.llm_engine.model_config.enforce_eager == eager
    engine.load_weights(PolicyWeights(policy.network))
    for prompt, (sample,) in zip(PROMPTS, engine.generate(PROMPTS, 1, 1.0, 12, 0), strict=True):
        expected = trainers(policy, prompt, sample.tokens, 1.0)
        torch.testing.assert_close(torch.tensor(sample.logprobs), expected, atol=ROUNDED, rtol=0)


@needs_vllm
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_layer_left_as_it_was_is_refused_at_once_in_either_type(folder, dtype):
    """The log-probabilities would tell late in float32, and never in bfloat16."""
    engine, policy = VllmEngine(folder, dtype, cache_gb=0.25), scrambled(folder, 7).to(getattr(torch, dtype))
    engine.load_weights(PolicyWeights(policy.network))
    with pytest.raises(VllmError, match="left RowParallelLinear with old weights"):
        engine.load_weights(Without(policy, "model.layers.1.mlp.down_proj.weight"))
    with pytest.raises(VllmError, match="left ParallelLMHead with old weights"):
        engine.load_weights(Without(policy, "lm_head.weight"))


@needs_vllm
@pytest.mark.slow
def test_a_context_the_cache_cannot_hold_is_cut_and_the_message_says_so(folder, tmp_path):
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    shape = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(shape | {"max_position_embeddings": 131072}))
    engine = VllmEngine(tmp_path, "float32", cache_gb=0.01)
    assert 96 < engine.context < 131072
    with pytest.raises(ValueError, match=r"raise rollout\.kv_cache_gb"):
        engine.generate(PROMPTS, 1, 1.0, 100000, 0)


@needs_vllm
@pytest.mark.slow
def test_heads_it_has_no_kernel_for_are_refused_in_one_line(tiny):
    with pytest.raises(VllmError, match=r"cannot start .*head_dim=8") as caught:
        VllmEngine(tiny, "float32", cache_gb=0.25)
    assert "\n" not in str(caught.value)


@needs_vllm
@pytest.mark.slow
def test_an_evaluation_samples_in_the_type_the_checkpoint_is_stored_in(folder, tmp_path, limits):
    """Left to choose, vLLM takes bfloat16 for a float32 checkpoint."""
    write_prompts(tmp_path / "questions.jsonl", [make_prompt()])
    sampling = {"engine": "vllm", "kv_cache_gb": 0.25, "temperature": 1.0, "max_new_tokens": 4}
    params = EvaluationParams(
        samples={"chain1": 1},
        temperature={"chain1": 1.0},
        max_new_tokens=4,
        rollout=SamplingParams(**sampling),
        verify=limits,
        prompt={},
        attn_implementation=None,
        rewards={},
    )
    with EvaluationJob("x", params, tmp_path / "questions.jsonl") as job:
        assert job._engine_with(folder)._llm.llm_engine.model_config.dtype == torch.float32


SHORT = {
    "base": {
        "warm_start": {
            **{"hidden_size": 128, "intermediate_size": 128},
            **{"skill_steps": 300, "habit_steps": 30, "gate_accuracy": 0.0},
        }
    },
    "seeds": [0],
    "methods": ["grpo"],
    "seeds_per_job": 1,
    "rollout": {"engine": "vllm"},
    "complexity": {"pools": []},
}
TARGET = "results/evaluate/easy/grpo/0/completions.parquet"


def short_run(folder: Path) -> tuple[Project, int, str]:
    project = Project.copy(folder)
    (folder / "short.json").write_text(json.dumps(SHORT))
    code, output = project.snakemake(TARGET, "--cores", "1", "--configfile", "experiments/smoke.yaml", "short.json")
    return project, code, output


@needs_vllm
@pytest.mark.slow
def test_a_short_run_trains_and_is_evaluated_through_it(tmp_path):
    project, code, output = short_run(tmp_path)
    assert code == 0, output
    metrics = pd.read_csv(project.folder / "results/train/easy/grpo/0/metrics.csv")
    mean, high = SAMPLING.gap_limits("float32")
    assert (metrics["logprob_gap"] < mean).all()
    assert (metrics["logprob_gap_high"] < high).all()
    assert metrics["updates"].iloc[-1] > 0
    assert len(pd.read_parquet(project.folder / TARGET)) > 0


@needs_vllm
@pytest.mark.slow
def test_an_output_head_other_than_the_trainers_stops_the_run(tmp_path):
    project = Project.copy(tmp_path)
    edit(project, "src/dopr/models/lora.py", "yield tied[name], weight", "yield tied[name], 1.01 * weight")
    (tmp_path / "short.json").write_text(json.dumps(SHORT))
    code, output = project.snakemake(TARGET, "--cores", "1", "--configfile", "experiments/smoke.yaml", "short.json")
    assert code == 1
    assert "the engine does not sample from the policy's present weights" in output


# --- without vLLM ---


def test_the_output_head_of_a_tied_model_is_given_by_name():
    weights = {"model.embed_tokens.weight": torch.ones(2, 2), "model.norm.weight": torch.ones(2)}
    assert dict(with_head(weights, tied=True))["lm_head.weight"] is weights["model.embed_tokens.weight"]
    assert dict(with_head(weights, tied=False)) == weights


def test_where_it_is_missing_the_error_says_what_is_there_and_what_to_install(tiny, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "vllm", None)
    monkeypatch.setattr(vllm_engine, "installed", lambda name: "1.2.3" if name == "torch" else None)
    with pytest.raises(
        VllmError,
        match=r"vllm cannot start .*installed: no vllm, torch 1.2.3. .*pip install --editable '\.\[vllm\]' in the",
    ):
        start(tiny, "float32", 0.25, None, 1)
