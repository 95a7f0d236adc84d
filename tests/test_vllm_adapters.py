"""vLLM for several runs with adapters on one base: `make test-vllm`, in an environment that has vLLM."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch

from dopr.policy import model
from dopr.policy.lora import Merged
from dopr.rollout.together import Request
from dopr.rollout.vllm_adapters import VllmAdapters
from dopr.rollout.vllm_engine import VllmError
from project import SMOKE, Project
from test_together import LORA, scattered
from test_vllm_engine import PROMPTS, SHORT, folder, needs_vllm, trainers  # noqa: F401

LIMIT = 1e-3


@needs_vllm
@pytest.mark.slow
@pytest.mark.parametrize("folder", ["tied"], indirect=True)
def test_each_prompt_has_its_own_runs_adapters_whatever_is_beside(folder: Path) -> None:  # noqa: F811
    engine = VllmAdapters(folder, "float32", 0.25, 3, LORA.rank)
    base = model.load(folder)
    policies = [scattered(base, seed) for seed in range(3)]
    asked = [Request(PROMPTS, 2, 0.8, 12, 10 * i, Merged(policy)) for i, policy in enumerate(policies)]
    asked[2] = replace(asked[2], prompts=[[4], [5, 6]], n=3, temperature=0.0)
    for policy, one, found in zip(policies, asked, engine.generate_each(asked), strict=True):
        assert [len(group) for group in found] == [one.n] * len(one.prompts)
        alone = engine.generate_each([one])[0]
        assert [[s.tokens for s in group] for group in found] == [[s.tokens for s in group] for group in alone]
        for prompt, group in zip(one.prompts, found, strict=True):
            for sample in group:
                expected = trainers(policy, prompt, sample.tokens, one.temperature or 1.0)
                torch.testing.assert_close(torch.tensor(sample.logprobs), expected, atol=1e-4, rtol=0)


def test_a_rank_that_it_has_no_room_for_is_named(tmp_path: Path) -> None:
    with pytest.raises(VllmError, match="rank: 513 is more than vllm has room for; set it to 512 or less"):
        VllmAdapters(tmp_path, "float32", 0.25, 2, 513)


@needs_vllm
@pytest.mark.slow
def test_the_pipelines_seeds_go_together(tmp_path: Path) -> None:
    project = Project.copy(tmp_path)
    together = {"seeds": [0, 1], "seeds_per_job": 2, "seeds_together": True, "train": {"lora": {"rank": 4, "alpha": 8}}}
    (tmp_path / "together.json").write_text(json.dumps(SHORT | together))
    targets = [f"results/train/easy/grpo/{seed}/metrics.csv" for seed in (0, 1)]
    code, output = project.snakemake(*targets, "--cores", "1", *SMOKE, "together.json")
    assert code == 0, output
    for target in targets:
        metrics = pd.read_csv(project.folder / target)
        assert (metrics["logprob_gap"] < LIMIT).all()
        assert metrics["updates"].iloc[-1] > 0
