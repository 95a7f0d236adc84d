"""The training loop: GRPO, with a selector deciding which prompts get rollouts.

Every method compared here is this loop with another selector: same sampler, same loss, same grader, same ledger.

Departures from GRPO as published (arXiv 2402.03300): the terms of the loss are options (dopr.policy.loss); a step
without any signal makes no update (counted: `updated` = 0, and `idle` steps in a row); optionally, replay of recent
informative groups (dopr.policy.replay); a selector may hold or discard groups (dopr.selection.selector).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dopr.checkpoint import RunState
from dopr.config import Sampling
from dopr.data.encoding import decode_completion, encode_prompt
from dopr.distributed import decided, first
from dopr.errors import UserError
from dopr.ledger import Ledger
from dopr.policy.learner import Learner
from dopr.policy.lora import Merged
from dopr.policy.network import Policy
from dopr.policy.optimiser import learning_rate
from dopr.policy.update import QUANTILE, LogprobGap, UpdateStatistics
from dopr.recipe import Recipe
from dopr.records import Phase, Prompt, Rollout, derive_seed
from dopr.rewards import Rewards
from dopr.rollout.engine import Engine, Sample
from dopr.selection.selector import Ask, Outcome, PromptSelector, Sorted
from dopr.stopwatch import Stopwatch
from dopr.verify.grader import Grader

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Metrics = dict[str, float]
Group = list[Rollout]


class SelectorError(UserError):
    """A selector asked for what cannot be done; the message names it and what it asked for."""


class EngineError(UserError):
    """The engine samples from another policy than the one that is trained."""


@dataclass
class Run:
    """Everything a training run works with. `save_policy` writes the policy to a folder; `gpus` are those that its
    process holds."""

    name: str
    phase: Phase
    seed: int
    recipe: Recipe
    sampling: Sampling
    pool: dict[str, Prompt]
    policy: Policy
    tokenizer: Tokenizer
    engine: Engine
    selector: PromptSelector
    grader: Grader
    state: RunState
    save_policy: Callable[[Policy, Path], None]
    snapshot_steps: frozenset[int]
    checkpoint_every: int
    gpus: float
    report: Callable[[Metrics, Stopwatch], None]
    on_checkpoint: Callable[[list[Metrics]], None]
    held: list[Group] = field(default_factory=list)
    metrics: list[Metrics] = field(default_factory=list)

    @cached_property
    def rewards(self) -> Rewards:
        """What completions are graded against, and what their verdicts earn."""
        return Rewards(self.recipe.reward, self.seed, list(self.pool.values()))


def train(run: Run) -> Stopwatch:
    """Train run.policy in place, from its last checkpoint on; returns the measured time of the whole run.

    Raises:
        SelectorError: the selector asked for prompts that do not exist.
        GraderError: too many verdicts are errors.
        EngineError: sampler and trainer differ.
        RewardError: there are no wrong labels to give, or a reward does not lie within 0 and 1.
        FloatingPointError: the policy diverged.
    """
    recipe, watch = run.recipe, Stopwatch(run.gpus)
    learner = Learner(run.policy, recipe, run.sampling, run.seed)
    start = restore(run, learner, watch)
    ledger = Ledger(run.state.folder / "ledger", run.name, start)
    for step in range(start, recipe.steps):
        run.engine.load_weights(Merged(run.policy.network))
        asks = run.selector.ask(step, [outcome(group) for group in run.held])
        check_asks(run, asks)
        new = roll_out(run, step, asks)
        run.engine.sleep()
        for group in new:
            run.selector.observe(step, outcome(group))
        groups = join(run.held, asks, new)
        fate = run.selector.sort(step, [outcome(group) for group in groups])
        statistics, updates = learner.learn([groups[i] for i in fate.train], step)
        if not run.held:  # rollouts that were held are of an older policy
            check_gap(run, statistics.gap, step)
        for group, phase in zip(new, phases(run, asks, fate), strict=True):
            ledger.add(step, group, phase)
        run.held = [groups[i] for i in fate.hold]
        run.metrics.append(measure(run, new, statistics, updates, step))
        watch.lap(step + 1)
        run.report(run.metrics[-1], watch)
        if step + 1 in run.snapshot_steps:
            run.save_policy(run.policy, run.state.snapshots / f"step-{step + 1:08d}")
        if (step + 1) % run.checkpoint_every == 0 or step + 1 == recipe.steps:
            ledger.flush(step + 1)
            checkpoint(run, learner, watch, step + 1)
            run.on_checkpoint(run.metrics)
    return watch


def check_gap(run: Run, gap: LogprobGap, step: int) -> None:
    """Stop a run whose sampler and trainer disagree: what is learned would be from another policy.

    Raises:
        EngineError: their log-probabilities differ by more than the limits, in the mean or in the high quantile.
    """
    mean, high = run.sampling.gap_limits(run.recipe.dtype)
    if not (gap.mean <= mean and gap.high <= high):
        raise EngineError(
            f"step {step + 1}: the engine's log-probabilities and the trainer's differ by {gap.mean:.3g} in the mean "
            f"(limit {mean:g}) and by {gap.high:.3g} in the {QUANTILE:.0%} quantile (limit rollout.max_logprob_gap = "
            f"{high:g}): the engine does not sample from the policy's present weights; if base.model is of an unusual "
            "kind, try base.attn_implementation: eager"
        )


def check_asks(run: Run, asks: Sequence[Ask]) -> None:
    """Refuse what a selector cannot have.

    Raises:
        SelectorError: prompts that are not in the pool, no prompt at all, or more rollouts of a group not held.
    """
    name = f"selector {run.recipe.selector}"
    if not asks:
        raise SelectorError(
            f"{name} returned no prompt; it must return at least one of the {len(run.pool)} of the pool"
        )
    unknown = [ask.prompt for ask in asks if ask.prompt not in run.pool]
    if unknown:
        raise SelectorError(f"{name} returned {len(unknown)} unknown prompts of {len(asks)}, such as {unknown[0]!r}")
    for ask in asks:
        if ask.rollouts < 1 or (ask.joins is not None and not 0 <= ask.joins < len(run.held)):
            raise SelectorError(f"{name}: {ask} cannot be done; {len(run.held)} groups are held")


def roll_out(run: Run, step: int, asks: Sequence[Ask]) -> list[Group]:
    """Sample, grade and reward the rollouts asked for; one list for each ask.

    Raises:
        FloatingPointError: the sampler's log-probabilities are not finite.
        RewardError: a reward does not lie within 0 and 1.
    """
    ids = [tuple(encode_prompt(run.tokenizer, run.pool[ask.prompt].text)) for ask in asks]
    samples = sample(run, step, asks, ids)
    return decided(lambda: judge(run, step, asks, ids, samples))


def judge(
    run: Run, step: int, asks: Sequence[Ask], ids: Sequence[tuple[int, ...]], samples: Sequence[Sequence[Sample]]
) -> list[Group]:
    """Grade and reward what was sampled.

    Raises:
        RewardError: a reward does not lie within 0 and 1.
    """
    texts = [[decode_completion(run.tokenizer, drawn.tokens, drawn.finish) for drawn in group] for group in samples]
    verdicts = iter(
        run.grader.grade(
            [(run.rewards.labels[ask.prompt], text) for ask, group in zip(asks, texts, strict=True) for text in group]
        )
    )
    groups: list[Group] = []
    for i, ask in enumerate(asks):
        prompt, first = run.pool[ask.prompt], 0 if ask.joins is None else len(run.held[ask.joins])
        group = []
        for j, drawn in enumerate(samples[i]):
            verdict = next(verdicts)
            reward = run.rewards.reward(verdict, texts[i][j], step, i, prompt.id, first + j)
            group.append(
                Rollout(
                    prompt, ids[i], first + j, drawn.tokens, drawn.logprobs, texts[i][j], drawn.finish, verdict, reward
                )
            )
        groups.append(group)
    return groups


def sample(run: Run, step: int, asks: Sequence[Ask], ids: Sequence[Sequence[int]]) -> list[list[Sample]]:
    """Completions of each ask, in order; asks for equally many are generated together.

    Raises:
        FloatingPointError: a log-probability is not finite.
    """
    found: dict[int, list[Sample]] = {}
    for size in dict.fromkeys(ask.rollouts for ask in asks):
        places = [i for i, ask in enumerate(asks) if ask.rollouts == size]
        seed = derive_seed(run.seed, "rollout", step, size)
        drawn = run.engine.generate(
            [ids[i] for i in places], size, run.sampling.temperature, run.sampling.max_new_tokens, seed
        )
        found.update(zip(places, drawn, strict=True))
    for i, group in found.items():
        if not all(math.isfinite(value) for drawn in group for value in drawn.logprobs):
            raise FloatingPointError(
                f"step {step + 1}: the policy gives no finite log-probabilities for prompt {asks[i].prompt}: it has "
                "diverged; lower learning_rate"
            )
    return [found[i] for i in range(len(asks))]


def outcome(group: Group) -> Outcome:
    """What a selector is told of a group."""
    tokens = sum(len(rollout.tokens) for rollout in group)
    surprise = -sum(sum(rollout.logprobs) for rollout in group)
    return Outcome(group[0].prompt.id, tuple(rollout.reward for rollout in group), surprise / tokens)


def phases(run: Run, asks: Sequence[Ask], fate: Sorted) -> list[Phase]:
    """What the ledger calls the rollouts of each ask: what this step did with their group."""
    added = iter(range(len(run.held), len(run.held) + len(asks)))
    places = [next(added) if ask.joins is None else ask.joins for ask in asks]
    return [run.phase if i in fate.train else "held" if i in fate.hold else "discarded" for i in places]


def join(held: Sequence[Group], asks: Sequence[Ask], new: Sequence[Group]) -> list[Group]:
    """The held groups with what was added to them, then the new ones."""
    groups = [list(group) for group in held]
    for ask, group in zip(asks, new, strict=True):
        if ask.joins is None:
            groups.append(group)
        else:
            groups[ask.joins] += group
    return groups


def measure(run: Run, groups: Sequence[Group], statistics: UpdateStatistics, updates: int, step: int) -> Metrics:
    """One row of metrics.csv, of the step's new rollouts. entropy is estimated by the mean of -log p over the sampled
    tokens, in nats; idle counts steps in a row without an update; repeated, groups of a prompt chosen twice."""
    rollouts = [rollout for group in groups for rollout in group]
    before = run.metrics[-1] if run.metrics else {"rollouts": 0, "tokens": 0, "updates": 0, "idle": 0}
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
        "idle": 0 if updates else before["idle"] + 1,
        "repeated": len(groups) - len({group[0].prompt.id for group in groups}),
        "entropy": -sum(sum(rollout.logprobs) for rollout in rollouts) / sum(lengths),
        "length": sum(lengths) / len(lengths),
        "truncated": sum(rollout.finish == "length" for rollout in rollouts) / len(rollouts),
        "grad_norm": statistics.grad_norm,
        "clipped": statistics.clipped,
        "logprob_gap": statistics.gap.mean,
        "logprob_gap_high": statistics.gap.high,
        "kl": statistics.kl,
        "value_loss": statistics.value_loss,
        "learning_rate": learning_rate(run.recipe, step),
        **run.selector.metrics(),
    }


def checkpoint(run: Run, learner: Learner, watch: Stopwatch, step: int) -> None:
    """Keep everything the next step depends on, which takes all processes to say and one to write."""
    state = {
        "learner": learner.state_dict(),
        "selector": run.selector.state_dict(),
        "held": [[asdict(rollout) for rollout in group] for group in run.held],
        "metrics": run.metrics,
        "watch": watch.state_dict(),
    }
    if first():
        run.state.save(step, state)


def restore(run: Run, learner: Learner, watch: Stopwatch) -> int:
    """Go back to the last checkpoint, if there is one; returns the number of steps done."""
    found = run.state.load()
    if found is None:
        return 0
    step, state = found
    learner.load_state_dict(state["learner"])
    run.selector.load_state_dict(state["selector"])
    run.held[:] = [[Rollout.from_fields(fields) for fields in group] for group in state["held"]]
    run.metrics[:] = state["metrics"]
    watch.load_state_dict(state["watch"])
    return step
