"""Runs of the training loop on a model folder, without the files of a job around them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tokenizers import Tokenizer

from dopr.config.recipe import Recipe
from dopr.config.schema import SamplingParams
from dopr.grading.grader import Grader
from dopr.models import checkpoint_io
from dopr.models.model_folder import end_tokens
from dopr.records import Prompt
from dopr.rollout.torch_engine import TorchEngine
from dopr.runtime.run_state import RunState
from dopr.selection.selector import Setup, make_selector
from dopr.training.train import Run


class StoppedError(Exception):
    """Stands for the moment a process is killed."""


def stop() -> None:
    raise StoppedError


def make_run(
    base: Path,
    folder: Path,
    pool: list[Prompt],
    recipe: Recipe,
    grader: Grader,
    stop_at: int = -1,
    what: Callable[[], None] = stop,
) -> Run:
    """A run whose process dies, or something else happens, when it reports step `stop_at`."""

    def report(row: dict[str, float], _: object) -> None:
        if row["step"] == stop_at:
            what()

    policy = checkpoint_io.load(base, recipe.dtype)
    setup = Setup(tuple(prompt.id for prompt in pool), 0, recipe.prompts_per_step, recipe.group_size)
    return Run(
        name="pool/method/0",
        phase="train",
        seed=0,
        recipe=recipe,
        sampling=SamplingParams(temperature=1.0, max_new_tokens=8),
        pool={prompt.id: prompt for prompt in pool},
        policy=policy,
        tokenizer=Tokenizer.from_file(str(base / "tokenizer.json")),
        engine=TorchEngine(policy.network, end_tokens(base)),
        selector=make_selector(recipe.selector, setup, recipe.options),
        grader=grader,
        state=RunState(folder),
        save_policy=lambda policy, path: checkpoint_io.save(policy, path, like=base),
        snapshot_steps=frozenset({2, recipe.steps}),
        checkpoint_every=2,
        gpus=0.0,
        report=report,
        on_checkpoint=lambda rows: None,
    )
