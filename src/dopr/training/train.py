"""The training loop: GRPO, with a selector deciding which prompts get rollouts.

Every method compared here is this loop with another selector: same sampler, same loss, same grader, same ledger.

Departures from GRPO as published (arXiv 2402.03300): the terms of the loss are options (dopr.training.loss); a step
without any signal makes no update (counted: `updated` = 0, and `idle` steps in a row); optionally, replay of recent
informative groups (dopr.training.replay_buffer); a selector may hold or discard groups (dopr.selection.selector).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from dopr.config.recipe import Recipe
from dopr.config.schema import SamplingParams
from dopr.data.encoding import decode_completion, encode_prompt
from dopr.errors import UserError
from dopr.grading.grader import Grader
from dopr.grading.rewards import Rewards
from dopr.models.lora import PolicyWeights
from dopr.models.network import Policy
from dopr.records import Phase, Prompt, Rollout, derive_seed
from dopr.rollout.engine import Engine, Sample
from dopr.runtime.distributed import broadcast_from_main, is_main_process
from dopr.runtime.run_state import RunState
from dopr.runtime.stopwatch import Stopwatch
from dopr.selection.selector import GroupDecision, PromptSelector, RolloutRequest
from dopr.training.group import Group, merge_held
from dopr.training.learner import Learner
from dopr.training.ledger import Ledger
from dopr.training.optimiser import learning_rate
from dopr.training.update import QUANTILE, LogprobGap, UpdateStatistics

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Metrics = dict[str, float]


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
    sampling: SamplingParams
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
    def prompt_tokens(self) -> dict[str, tuple[int, ...]]:
        """Token ids of each prompt of the pool, by the prompt's id."""
        return {name: tuple(encode_prompt(self.tokenizer, prompt.text)) for name, prompt in self.pool.items()}

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
    start = load_checkpoint(run, learner, watch)
    ledger = Ledger(run.state.folder / "ledger", run.name, start)
    for step in range(start, recipe.steps):
        run.engine.load_weights(PolicyWeights(run.policy.network))
        requests = run.selector.request(step, run.held)
        check_requests(run, requests)
        groups = merge_held(run.held, requests, generate_rollouts(run, step, requests))
        run.engine.sleep()
        sampled = [group for group in groups if group.new]
        for group in sampled:
            run.selector.observe(step, group.result)
        decision = run.selector.decide(step, groups)
        statistics, updates = learner.learn([group.rollouts for group in groups if group in decision.train], step)
        if not run.held:  # rollouts that were held are of an older policy
            check_gap(run, statistics.gap, step)
        for group in sampled:
            ledger.add(step, group.new, ledger_phase(run, group, decision))
        run.held = [group for group in groups if group in decision.hold]
        run.metrics.append(step_metrics(run, [group.new for group in sampled], statistics, updates, step))
        watch.lap(step + 1)
        run.report(run.metrics[-1], watch)
        if step + 1 in run.snapshot_steps:
            run.save_policy(run.policy, run.state.snapshots / f"step-{step + 1:08d}")
        if (step + 1) % run.checkpoint_every == 0 or step + 1 == recipe.steps:
            ledger.flush(step + 1)
            save_checkpoint(run, learner, watch, step + 1)
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


def check_requests(run: Run, requests: Sequence[RolloutRequest]) -> None:
    """Refuse what a selector cannot have.

    Raises:
        SelectorError: Prompts that are not in the pool, no prompt at all, or more rollouts of a group not held.
    """
    name = f"selector {run.recipe.selector}"
    if not requests:
        raise SelectorError(
            f"{name} returned no prompt; it must return at least one of the {len(run.pool)} of the pool"
        )
    unknown = [request.prompt for request in requests if request.prompt not in run.pool]
    if unknown:
        raise SelectorError(
            f"{name} returned {len(unknown)} unknown prompts of {len(requests)}, such as {unknown[0]!r}"
        )
    for request in requests:
        if request.rollouts < 1:
            raise SelectorError(f"{name}: {request.rollouts} rollouts of {request.prompt} cannot be generated")
        if request.group is not None and request.group not in run.held:
            raise SelectorError(f"{name}: wants more rollouts of a group of {request.prompt} that is not held")


def generate_rollouts(run: Run, step: int, requests: Sequence[RolloutRequest]) -> list[list[Rollout]]:
    """Sample, grade and reward the rollouts of each request.

    Raises:
        FloatingPointError: The sampler's log-probabilities are not finite.
        RewardError: A reward does not lie within 0 and 1.
    """
    samples = sample_completions(run, step, requests)
    return broadcast_from_main(lambda: grade_and_reward(run, step, requests, samples))


def grade_and_reward(
    run: Run, step: int, requests: Sequence[RolloutRequest], samples: Sequence[Sequence[Sample]]
) -> list[list[Rollout]]:
    """Grade and reward what was sampled.

    Raises:
        RewardError: A reward does not lie within 0 and 1.
    """
    texts = [[decode_completion(run.tokenizer, drawn.tokens, drawn.finish) for drawn in group] for group in samples]
    references = [run.rewards.labels[request.prompt] for request in requests]
    verdicts = iter(
        run.grader.grade([(reference, text) for reference, of in zip(references, texts, strict=True) for text in of])
    )
    groups: list[list[Rollout]] = []
    for i, request in enumerate(requests):
        prompt, first = run.pool[request.prompt], len(request.group.rewards) if request.group else 0
        group = []
        for j, (drawn, text) in enumerate(zip(samples[i], texts[i], strict=True), first):
            verdict = next(verdicts)
            reward = run.rewards.reward(verdict, text, step, i, prompt.id, j)
            tokens = run.prompt_tokens[prompt.id]
            group.append(Rollout(prompt, tokens, j, drawn.tokens, drawn.logprobs, text, drawn.finish, verdict, reward))
        groups.append(group)
    return groups


def sample_completions(run: Run, step: int, requests: Sequence[RolloutRequest]) -> list[list[Sample]]:
    """Sample completions for each request, in order; requests for equally many are generated together.

    Raises:
        FloatingPointError: A log-probability is not finite.
    """
    found: dict[int, list[Sample]] = {}
    for size in dict.fromkeys(request.rollouts for request in requests):
        chosen = [i for i, request in enumerate(requests) if request.rollouts == size]
        prompts = [run.prompt_tokens[requests[i].prompt] for i in chosen]
        seed = derive_seed(run.seed, "rollout", step, size)
        drawn = run.engine.generate(prompts, size, run.sampling.temperature, run.sampling.max_new_tokens, seed)
        found.update(zip(chosen, drawn, strict=True))
    for i, group in found.items():
        if not all(math.isfinite(value) for drawn in group for value in drawn.logprobs):
            raise FloatingPointError(
                f"step {step + 1}: the policy gives no finite log-probabilities for prompt {requests[i].prompt}: it "
                "has diverged; lower learning_rate"
            )
    return [found[i] for i in range(len(requests))]


def ledger_phase(run: Run, group: Group, decision: GroupDecision) -> Phase:
    """Name what this step did with a group, for the ledger."""
    return run.phase if group in decision.train else "held" if group in decision.hold else "discarded"


def step_metrics(
    run: Run, groups: Sequence[Sequence[Rollout]], statistics: UpdateStatistics, updates: int, step: int
) -> Metrics:
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


def save_checkpoint(run: Run, learner: Learner, watch: Stopwatch, step: int) -> None:
    """Keep everything the next step depends on, which takes all processes to say and one to write."""
    state = {
        "learner": learner.state_dict(),
        "selector": run.selector.state_dict(),
        "held": [[asdict(rollout) for rollout in group.rollouts] for group in run.held],
        "metrics": run.metrics,
        "watch": watch.state_dict(),
    }
    if is_main_process():
        run.state.save(step, state)


def load_checkpoint(run: Run, learner: Learner, watch: Stopwatch) -> int:
    """Go back to the last checkpoint, if there is one; returns the number of steps done."""
    found = run.state.load()
    if found is None:
        return 0
    step, state = found
    learner.load_state_dict(state["learner"])
    run.selector.load_state_dict(state["selector"])
    run.held[:] = [Group.of(map(Rollout.from_fields, rows)) for rows in state["held"]]
    run.metrics[:] = state["metrics"]
    watch.load_state_dict(state["watch"])
    return step
