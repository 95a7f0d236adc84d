"""Made-up prompts and rollouts, for tests that need no policy."""

from __future__ import annotations

from typing import Any

from dopr.records import Prompt, Rollout


def make_prompt(name: str = "p", **changes: Any) -> Prompt:
    return Prompt(**{"id": name, "text": "compute 1 + 2\n", "answer": "3", "family": "chain1", **changes})


def make_rollout(prompt: str = "p", **changes: Any) -> Rollout:
    """A correct rollout of two prompt tokens and three completion tokens, unless `changes` say otherwise."""
    fields = {
        "prompt": make_prompt(prompt),
        "prompt_tokens": (7, 8),
        "sample": 0,
        "tokens": (5, 6, 1),
        "logprobs": (-0.5, -1.0, -0.25),
        "text": "so \\boxed{3}",
        "finish": "stop",
        "verdict": "correct",
    }
    fields = {**fields, **changes}
    return Rollout(**{"reward": float(fields["verdict"] == "correct"), **fields})
