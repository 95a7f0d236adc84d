"""A learner on a tiny policy, and groups really sampled from it with made-up rewards."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer

from dopr.config.recipe import Loss, Recipe
from dopr.config.schema import SamplingParams
from dopr.models.model_folder import end_tokens
from dopr.models.network import Policy
from dopr.rollout.torch_engine import TorchEngine
from dopr.training.group import Group
from dopr.training.learner import Learner
from fixture_rollouts import make_rollout

LIMIT = 16
MIXED = [[1.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.0, 0.0]]
SILENT = [[1.0] * 4, [0.0] * 4]


def make_loss(**changes: Any) -> Loss:
    return Loss(**{"variant": "dapo", "clip_low": 0.2, "clip_high": 0.2, "advantage_epsilon": 1e-4, **changes})


def make_learner(policy: Policy, temperature: float = 1.0, seed: int = 0, **changes: Any) -> Learner:
    fields: dict[str, Any] = {
        "selector": "uniform",
        "group_size": 4,
        "prompts_per_step": 2,
        "steps": 10,
        "learning_rate": 1e-3,
        "warmup_steps": 0,
        "betas": (0.9, 0.99),
        "weight_decay": 0.0,
        "max_grad_norm": 1.0,
        "loss": make_loss(),
    }
    sampling = SamplingParams(temperature=temperature, max_new_tokens=LIMIT)
    return Learner(policy, Recipe(**{**fields, **changes}), sampling, seed)


def roll_out(
    tiny: Path, policy: Policy, rewards: Sequence[Sequence[float]], temperature: float = 1.0, seed: int = 1
) -> list[Group]:
    """Groups really sampled from the policy, with made-up rewards."""
    tokenizer, engine = Tokenizer.from_file(str(tiny / "tokenizer.json")), TorchEngine(policy.network, end_tokens(tiny))
    ids = [tuple(tokenizer.encode(f"compute 1 + {i}\n").ids) for i in range(len(rewards))]
    samples = engine.generate(ids, len(rewards[0]), temperature, LIMIT, seed)
    return [
        Group.from_rollouts(
            (),
            [
                make_rollout(
                    f"p{i}",
                    sample=j,
                    prompt_tokens=ids[i],
                    tokens=drawn.tokens,
                    logprobs=drawn.logprobs,
                    finish=drawn.finish,
                    reward=rewards[i][j],
                )
                for j, drawn in enumerate(group)
            ],
        )
        for i, group in enumerate(samples)
    ]


def weights(policy: Policy) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in policy.network.state_dict().items()}


def same(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> bool:
    return all(torch.equal(first[name], second[name]) for name in first)
