"""vLLM in each of several processes that train together, or shared by them; on gloo, by `make test-vllm`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from dopr.config.recipe import Lora, Reward
from dopr.config.schema import Config
from dopr.models import checkpoint_io
from dopr.records import Prompt
from fixture_comparison import APART, apart, assert_close
from fixture_together import together
from project import SMOKE, Project
from test_vllm_engine import PROMPTS, ROUNDED, SHORT, folder, needs_vllm, trainers  # noqa: F401

STEPS = 4
LIMIT = 1e-3


@pytest.fixture(scope="module")
def alone(folder: Path, job: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> Any:  # noqa: F811
    """The run by one process."""
    made = tmp_path_factory.mktemp("alone")
    return together(made, 1, **job, state=made / "state")


@pytest.fixture(scope="module")
def job(folder: Path, config: Config) -> dict[str, Any]:  # noqa: F811
    """A few steps on random rewards, of which a policy with random weights has some signal; two prompts a step."""
    recipe = config.recipes["grpo"].model_copy(
        update={
            "steps": STEPS,
            "prompts_per_step": 2,
            "group_size": 4,
            "warmup_steps": 0,
            "learning_rate": 0.01,
            "lora": Lora(rank=4, alpha=8),
            "reward": Reward(kind="random"),
        }
    )
    pool = [Prompt(f"p{i}", f"compute 1 + {i}\n", str(1 + i), "chain1") for i in range(4)]
    job = {"do": "agree", "engine": "vllm", "base": folder, "pool": pool, "verify": config.verify, "recipe": recipe}
    return {**job, "prompts": PROMPTS, "n": 2}


@needs_vllm
@pytest.mark.slow
@pytest.mark.parametrize("folder", ["tied"], indirect=True)
@pytest.mark.parametrize("tensor_parallel", [1, 2])
def test_two_processes_sample_and_learn_what_one_does(
    folder: Path,  # noqa: F811
    job: dict[str, Any],
    alone: Any,
    tmp_path: Path,
    tensor_parallel: int,
) -> None:
    """Each with an engine of its own, and both with one, which each gives its part of the new weights."""
    found, weights = together(tmp_path / "two", 2, **job, state=tmp_path / "state", tensor_parallel=tensor_parallel)
    ((expected, drawn),), ended = alone
    assert [metrics for metrics, _ in found] == [found[0][0]] * 2
    for row, theirs in zip(found[0][0], expected, strict=True):
        assert_close(row, theirs, "float32")
        assert row["logprob_gap_high"] < LIMIT
        assert row["updated"]
    policy = checkpoint_io.load(folder)
    before = policy.network.state_dict()
    assert apart(weights, ended, before) < APART["float32"]
    for name, weight in weights.items():
        assert torch.equal(weight, before[name]) == (not name.endswith("proj.weight"))  # the rest has no adapters
    policy.network.load_state_dict(weights, strict=False)  # tied weights are named once
    for _, own in found:
        for prompt, group, theirs in zip(PROMPTS, own, drawn, strict=True):
            assert [sample.tokens for sample in group] == [sample.tokens for sample in theirs]
            for sample in group:
                expected_logprobs = trainers(policy, prompt, sample.tokens, 1.0)
                torch.testing.assert_close(torch.tensor(sample.logprobs), expected_logprobs, atol=ROUNDED, rtol=0)


@needs_vllm
@pytest.mark.slow
def test_the_pipelines_training_is_by_two_processes_with_vllm(tmp_path: Path) -> None:
    project, target = Project.copy(tmp_path), "results/train/easy/grpo/0/metrics.csv"
    (tmp_path / "two.json").write_text(json.dumps({**SHORT, "hardware": {"processes": 2}}))
    code, output = project.snakemake(target, "--cores", "2", *SMOKE, "two.json")
    assert code == 0, output
    metrics = pd.read_csv(project.folder / target)
    assert (metrics["logprob_gap_high"] < LIMIT).all()
    assert metrics["updates"].iloc[-1] > 0
    assert list((project.folder / "results/train/easy/grpo/0/checkpoints").glob("step-*/model.safetensors"))
