"""What benchmarks of training train with: GRPO's recipe, and groups of completions that nobody judged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from dopr.config.recipe import Loss, Recipe
from dopr.records import Prompt, Rollout
from dopr.rollout.engine import Sample
from dopr.training.group import Group

RATE = 1e-6  # TRL's default learning rate


def grpo(prompts: int, samples: int, steps: int, **settings: Any) -> Recipe:
    """Return a recipe of GRPO with the token mean and without warm-up; `settings` are further keys."""
    return Recipe(
        selector="uniform",
        prompts_per_step=prompts,
        group_size=samples,
        steps=steps,
        learning_rate=RATE,
        warmup_steps=0,
        betas=(0.9, 0.999),
        weight_decay=0.0,
        max_grad_norm=1.0,
        loss=Loss(variant="dapo", clip_low=0.2, clip_high=0.2, advantage_epsilon=1e-4),
        **settings,
    )


def group(name: str, prompt: Sequence[int], samples: Sequence[Sample], rewards: Sequence[float]) -> Group:
    """Return a group of completions, of token ids, with the rewards they are given."""
    rollouts = [
        Rollout(
            prompt=Prompt(name, "", "", ""),
            prompt_tokens=tuple(prompt),
            sample=i,
            tokens=sample.tokens,
            logprobs=sample.logprobs,
            text="",
            finish=sample.finish,
            verdict="wrong",
            reward=reward,
        )
        for i, (sample, reward) in enumerate(zip(samples, rewards, strict=True))
    ]
    return Group.from_rollouts((), rollouts)


def alternating(count: int) -> list[float]:
    """Return rewards of which every second is 1, so that all completions are trained on."""
    return [float(i % 2) for i in range(count)]
