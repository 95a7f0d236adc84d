"""The training loop: GRPO, with a selector deciding which prompts get rollouts.

Every method compared here is this loop with another selector: same sampler, same loss, same grader, same ledger.

Departures from GRPO as published (arXiv 2402.03300): no KL term and no reference model; the loss is the mean over the
batch's tokens; a step without any signal makes no update (counted, `updated` = 0); optionally, replay of recent
informative groups (dopr.policy.replay).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dopr.checkpoint import RunState
from dopr.config import Recipe, Sampling
from dopr.ledger import Ledger
from dopr.policy.loss import group_advantages
from dopr.policy.replay import ReplayBuffer
from dopr.policy.transformer import Transformer
from dopr.policy.update import UpdateStatistics, Weighted, learning_rate, make_optimiser, update
from dopr.records import Phase, Prompt, Rollout, derive_seed
from dopr.rollout.engine import Engine
from dopr.selection.selector import PromptSelector
from dopr.stopwatch import Stopwatch
from dopr.verify.grader import Grader

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Metrics = dict[str, float]
Group = list[Rollout]


@dataclass
class Run:
    """Everything a training run works with. `save_policy` writes the policy to a folder."""

    name: str
    phase: Phase
    seed: int
    recipe: Recipe
    sampling: Sampling
    pool: dict[str, Prompt]
    policy: Transformer
    tokenizer: Tokenizer
    engine: Engine
    selector: PromptSelector
    grader: Grader
    state: RunState
    save_policy: Callable[[Transformer, Path], None]
    snapshot_steps: frozenset[int]
    checkpoint_every: int
    report: Callable[[Metrics, Stopwatch], None]
    on_checkpoint: Callable[[list[Metrics]], None]
    metrics: list[Metrics] = field(default_factory=list)


def train(run: Run) -> Stopwatch:
    """Train run.policy in place, from its last checkpoint on; returns the measured time of the whole run.

    Raises:
        GraderError: too many verdicts are errors.
        FloatingPointError: the policy diverged.
    """
    recipe, watch = run.recipe, Stopwatch()
    optimiser = make_optimiser(run.policy, recipe)
    replay = ReplayBuffer(recipe.reuse, run.seed) if recipe.reuse else None
    start = restore(run, optimiser, replay, watch)
    ledger = Ledger(run.state.folder / "ledger", run.name, run.phase, start)
    for step in range(start, recipe.steps):
        run.engine.load_weights(run.policy.state_dict())
        groups = roll_out(run, step, run.selector.select(step))
        for group in groups:
            run.selector.observe(step, group[0].prompt.id, [rollout.reward for rollout in group])
        fresh = [weigh(group, recipe.advantage_epsilon) for group in groups]
        statistics, updates = improve(run, optimiser, fresh, replay, step)
        ledger.add(step, [rollout for group in groups for rollout in group])
        run.metrics.append(measure(run, groups, statistics, updates, step))
        watch.lap(step + 1)
        run.report(run.metrics[-1], watch)
        if step + 1 in run.snapshot_steps:
            run.save_policy(run.policy, run.state.snapshots / f"step-{step + 1:08d}")
        if (step + 1) % run.checkpoint_every == 0 or step + 1 == recipe.steps:
            ledger.flush(step + 1)
            checkpoint(run, optimiser, replay, watch, step + 1)
            run.on_checkpoint(run.metrics)
    return watch


def roll_out(run: Run, step: int, chosen: Sequence[str]) -> list[Group]:
    """Sample and grade one group for each chosen prompt.

    Raises:
        ValueError: the selector chose a prompt that is not in the pool, or the wrong number of them.
    """
    unknown = [prompt for prompt in chosen if prompt not in run.pool]
    if unknown or len(chosen) != run.recipe.prompts_per_step:
        raise ValueError(
            f"selector {run.recipe.selector} returned {len(chosen)} prompts, {len(unknown)} of them unknown; "
            f"{run.recipe.prompts_per_step} of the pool are wanted"
        )
    prompts = [run.pool[prompt] for prompt in chosen]
    ids = [tuple(run.tokenizer.encode(prompt.text).ids) for prompt in prompts]
    samples = run.engine.generate(
        ids,
        run.recipe.group_size,
        run.sampling.temperature,
        run.sampling.max_new_tokens,
        derive_seed(run.seed, "rollout", step),
    )
    texts = [[run.tokenizer.decode(list(sample.tokens)) for sample in group] for group in samples]
    pairs = [(prompt.answer, text) for prompt, group in zip(prompts, texts, strict=True) for text in group]
    verdicts = iter(run.grader.grade(pairs))
    return [
        [
            Rollout(prompts[i], ids[i], j, sample.tokens, sample.logprobs, texts[i][j], sample.finish, next(verdicts))
            for j, sample in enumerate(group)
        ]
        for i, group in enumerate(samples)
    ]


def weigh(group: Group, epsilon: float) -> list[Weighted]:
    """A group's rollouts with their advantages."""
    advantages = group_advantages([rollout.reward for rollout in group], epsilon)
    return [Weighted(rollout, advantage, fresh=True) for rollout, advantage in zip(group, advantages, strict=True)]


def improve(
    run: Run,
    optimiser: Any,
    fresh: list[list[Weighted]],
    replay: ReplayBuffer | None,
    step: int,
) -> tuple[UpdateStatistics, int]:
    """The optimiser steps that follow a rollout step; the statistics of the first, and how many there were."""
    done: list[UpdateStatistics] = []
    for rows in batches(fresh, replay, step):
        if any(row.advantage for row in rows):
            done.append(update(run.policy, optimiser, rows, run.recipe, run.sampling.temperature, step))
    for group in fresh:
        if replay:
            replay.add(group)
    return (done[0] if done else UpdateStatistics()), len(done)


def batches(fresh: list[list[Weighted]], replay: ReplayBuffer | None, step: int) -> Iterator[list[Weighted]]:
    """The batch of each update: the new rollouts, with replayed ones beside them where there is replay."""
    new = [row for group in fresh for row in group]
    if replay is None:
        yield new
        return
    for turn in range(replay.settings.updates):
        yield new + replay.draw(step, turn)


def measure(run: Run, groups: list[Group], statistics: UpdateStatistics, updates: int, step: int) -> Metrics:
    """One row of metrics.csv. entropy is estimated by the mean of -log p over the sampled tokens, in nats."""
    rollouts = [rollout for group in groups for rollout in group]
    before = run.metrics[-1] if run.metrics else {"rollouts": 0, "tokens": 0, "updates": 0}
    lengths = [len(rollout.tokens) for rollout in rollouts]
    tokens = sum(lengths) + sum(len(rollout.prompt_tokens) for rollout in rollouts)
    mixed = [len({rollout.reward for rollout in group}) > 1 for group in groups]
    return {
        "step": step + 1,
        "rollouts": before["rollouts"] + len(rollouts),
        "tokens": before["tokens"] + tokens,
        "updates": before["updates"] + updates,
        "reward": sum(rollout.reward for rollout in rollouts) / len(rollouts),
        "signal": sum(mixed) / len(mixed),
        "updated": float(updates > 0),
        "entropy": -sum(sum(rollout.logprobs) for rollout in rollouts) / sum(lengths),
        "length": sum(lengths) / len(lengths),
        "truncated": sum(rollout.finish == "length" for rollout in rollouts) / len(rollouts),
        "grad_norm": statistics.grad_norm,
        "clipped": statistics.clipped,
        "logprob_gap": statistics.logprob_gap,
        "learning_rate": learning_rate(run.recipe, step),
        **run.selector.metrics(),
    }


def checkpoint(run: Run, optimiser: Any, replay: ReplayBuffer | None, watch: Stopwatch, step: int) -> None:
    """Keep everything the next step depends on."""
    state = {
        "policy": run.policy.state_dict(),
        "optimiser": optimiser.state_dict(),
        "selector": run.selector.state_dict(),
        "replay": replay.state_dict() if replay else {},
        "metrics": run.metrics,
        "watch": watch.state_dict(),
    }
    run.state.save(step, state)


def restore(run: Run, optimiser: Any, replay: ReplayBuffer | None, watch: Stopwatch) -> int:
    """Go back to the last checkpoint, if there is one; returns the number of steps done."""
    found = run.state.load()
    if found is None:
        return 0
    step, state = found
    run.policy.load_state_dict(state["policy"])
    optimiser.load_state_dict(state["optimiser"])
    run.selector.load_state_dict(state["selector"])
    if replay:
        replay.load_state_dict(state["replay"])
    run.metrics[:] = state["metrics"]
    watch.load_state_dict(state["watch"])
    return step
