"""The training loop: GRPO, with a selector that decides which prompts get rollouts.

Every method that is compared is this loop with another selector. Sampler, loss, grader and ledger are the same. As in
TRL's GRPOTrainer, a step generates a group of completions for each prompt, grades them, computes advantages within each
group, and updates the policy.

Departures from GRPO as published (arXiv 2402.03300):

- The terms of the loss are options (dopr.training.loss).
- A step without an informative group makes no update. The metrics count it: `updated` is 0, and `idle` is the number
  of such steps in a row.
- Updates may replay recent informative groups (dopr.training.replay_buffer).
- A selector may hold a group for the next step, or discard it (dopr.selection.selector).
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
from dopr.selection.selector import GroupDecision, PromptSelector, RolloutRequest, SelectorError
from dopr.training.group import Group, merge_held
from dopr.training.learner import Learner
from dopr.training.ledger import Ledger
from dopr.training.optimiser import learning_rate
from dopr.training.update import QUANTILE, LogprobGap, UpdateStatistics

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Metrics = dict[str, float]


class EngineError(UserError):
    """An engine that samples from another policy than the one that is trained."""


@dataclass
class Run:
    """All that a training run works with, and what it has recorded so far.

    Attributes:
        pool: The prompts by their ids.
        save_policy: Writes a policy to a folder.
        snapshot_steps: The numbers of finished steps after which the policy is saved for evaluation.
        checkpoint_every: Steps from one checkpoint, to resume from, to the next.
        gpus: The GPUs that this process holds, for their seconds to be counted.
        report: Called with the metrics of each step.
        on_checkpoint: Called with the metrics of all steps after each checkpoint.
        held: The groups that the last step held for the next one.
        metrics: The rows of metrics.csv so far.
    """

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
        """The labels that completions are graded against, and the rewards of verdicts."""
        return Rewards(self.recipe.reward, self.seed, list(self.pool.values()))


def train(run: Run) -> Stopwatch:
    """Train run.policy in place, from its last checkpoint on.

    Returns:
        The measured time of the whole run, including the part before the checkpoint.

    Raises:
        SelectorError: The selector requested prompts that do not exist.
        GraderError: Too many verdicts are errors.
        EngineError: The log-probabilities of sampler and trainer differ.
        RewardError: No wrong labels can be made, or a reward does not lie within 0 and 1.
        FloatingPointError: The policy diverged.
        CheckpointError: The run's folder was deleted.
    """
    watch = Stopwatch(run.gpus)
    learner = Learner(run.policy, run.recipe, run.sampling, run.seed)
    start_step = load_checkpoint(run, learner, watch)
    ledger = Ledger(run.state.folder / "ledger", run.name, start_step)
    for step in range(start_step, run.recipe.steps):
        groups = generate_groups(run, step)
        sampled_groups = [group for group in groups if group.new]
        for group in sampled_groups:
            run.selector.observe(step, group.new_result)
        decision = run.selector.decide(step, groups)

        statistics, updates = learner.learn([group for group in groups if group in decision.train], step)
        check_gap(run, statistics.gap, step)

        for group in sampled_groups:
            ledger.add(step, group.new, ledger_phase(run, group, decision))
        run.held = [group for group in groups if group in decision.hold]
        run.metrics.append(step_metrics(run, sampled_groups, statistics, updates, step))
        watch.lap(step + 1)
        run.report(run.metrics[-1], watch)
        save_step(run, learner, ledger, watch, step + 1)
    return watch


def generate_groups(run: Run, step: int) -> list[Group]:
    """Generate the rollouts that the selector requests, from the present policy.

    Returns:
        The held groups, with their new rollouts, then the groups that begin in this step.

    Raises:
        SelectorError: The selector requested prompts that do not exist.
        FloatingPointError: The sampler's log-probabilities are not finite.
        RewardError: A reward does not lie within 0 and 1.
    """
    run.engine.load_weights(PolicyWeights(run.policy.network))
    requests = run.selector.request(step, run.held)
    check_requests(run, requests)
    groups = merge_held(run.held, requests, generate_rollouts(run, step, requests))
    run.engine.sleep()
    return groups


def check_requests(run: Run, requests: Sequence[RolloutRequest]) -> None:
    """Check that the selector's requests can be met.

    Raises:
        SelectorError: There is no request, or one names a prompt that is not in the pool, no rollouts, or a group that
            is not held.
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

    The main process grades, and all processes receive its rollouts.

    Raises:
        FloatingPointError: The sampler's log-probabilities are not finite.
        RewardError: A reward does not lie within 0 and 1.
    """
    samples = sample_completions(run, step, requests)
    return broadcast_from_main(lambda: grade_and_reward(run, step, requests, samples))


def sample_completions(run: Run, step: int, requests: Sequence[RolloutRequest]) -> list[list[Sample]]:
    """Sample completions for each request, in order; requests for the same number are generated in one batch.

    Raises:
        FloatingPointError: A log-probability is not finite.
    """
    samples: dict[int, list[Sample]] = {}  # by the index of the request
    for group_size in dict.fromkeys(request.rollouts for request in requests):
        request_indices = [i for i, request in enumerate(requests) if request.rollouts == group_size]
        prompts = [run.prompt_tokens[requests[i].prompt] for i in request_indices]
        seed = derive_seed(run.seed, "rollout", step, group_size)
        generated = run.engine.generate(
            prompts, group_size, run.sampling.temperature, run.sampling.max_new_tokens, seed
        )
        samples.update(zip(request_indices, generated, strict=True))
    for i, group in samples.items():
        if not all(math.isfinite(logprob) for sample in group for logprob in sample.logprobs):
            raise FloatingPointError(
                f"step {step + 1}: the policy gives no finite log-probabilities for prompt {requests[i].prompt}: it "
                "has diverged; lower learning_rate"
            )
    return [samples[i] for i in range(len(requests))]


def grade_and_reward(
    run: Run, step: int, requests: Sequence[RolloutRequest], samples: Sequence[Sequence[Sample]]
) -> list[list[Rollout]]:
    """Grade the samples of each request, and return them as rollouts with rewards.

    Raises:
        RewardError: A reward does not lie within 0 and 1.
    """
    texts = [[decode_completion(run.tokenizer, sample.tokens, sample.finish) for sample in group] for group in samples]
    references = [run.rewards.labels[request.prompt] for request in requests]
    grades = iter(
        run.grader.grades(
            [(reference, text) for reference, group in zip(references, texts, strict=True) for text in group]
        )
    )
    groups: list[list[Rollout]] = []
    for i, request in enumerate(requests):
        prompt, prompt_tokens = run.pool[request.prompt], run.prompt_tokens[request.prompt]
        held_rollouts = len(request.group.rewards) if request.group else 0
        group = []
        for j, (sample, text) in enumerate(zip(samples[i], texts[i], strict=True), held_rollouts):
            grade = next(grades)
            verdict, reward = grade.verdict, run.rewards.reward(grade, text, step, i, prompt.id, j)
            group.append(
                Rollout(prompt, prompt_tokens, j, sample.tokens, sample.logprobs, text, sample.finish, verdict, reward)
            )
        groups.append(group)
    return groups


def check_gap(run: Run, gap: LogprobGap, step: int) -> None:
    """Stop the run if sampler and trainer log-probabilities disagree: its updates would be off-policy, unnoticed.

    Raises:
        EngineError: They differ by more than the limits, in the mean or in the high quantile.
    """
    mean_limit, high_limit = run.sampling.gap_limits(run.recipe.dtype)
    if not (gap.mean <= mean_limit and gap.high <= high_limit):  # so written that NaN is refused
        raise EngineError(
            f"step {step + 1}: the engine's log-probabilities and the trainer's differ by {gap.mean:.3g} in the mean "
            f"(limit {mean_limit:g}) and by {gap.high:.3g} in the {QUANTILE:.0%} quantile (limit "
            f"rollout.max_logprob_gap = {high_limit:g}): the engine does not sample from the policy's present weights; "
            "if base.model is of an unusual kind, try base.attn_implementation: eager"
        )


def ledger_phase(run: Run, group: Group, decision: GroupDecision) -> Phase:
    """Return what this step did with a group, as the ledger names it."""
    return run.phase if group in decision.train else "held" if group in decision.hold else "discarded"


def step_metrics(run: Run, groups: Sequence[Group], statistics: UpdateStatistics, updates: int, step: int) -> Metrics:
    """Return one row of metrics.csv.

    rollouts, tokens and updates are totals since the start of the run. frac_reward_zero_std is TRL's name for the share
    of groups whose rewards are all equal, with the rewards that a held group had before. idle is the number of steps in
    a row without an update. repeated is the number of groups minus that of distinct prompts. entropy, in nats, is
    estimated by the mean of -log p over the tokens sampled in this step. What an update measures, such as logprob_gap,
    is 0 in a step without one.

    Args:
        groups: The groups that have rollouts of this step.
    """
    rollouts = [rollout for group in groups for rollout in group.new]
    previous = run.metrics[-1] if run.metrics else {"rollouts": 0, "tokens": 0, "updates": 0, "idle": 0}
    lengths = [len(rollout.tokens) for rollout in rollouts]
    tokens = sum(lengths) + sum(len(rollout.prompt_tokens) for rollout in rollouts)
    uninformative = [not group.informative for group in groups]
    return {
        "step": step + 1,
        "rollouts": previous["rollouts"] + len(rollouts),
        "tokens": previous["tokens"] + tokens,
        "updates": previous["updates"] + updates,
        "reward": sum(rollout.reward for rollout in rollouts) / len(rollouts),
        "frac_reward_zero_std": sum(uninformative) / len(uninformative),
        "updated": float(updates > 0),
        "idle": 0 if updates else previous["idle"] + 1,
        "repeated": len(groups) - len({group.prompt for group in groups}),
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


def save_step(run: Run, learner: Learner, ledger: Ledger, watch: Stopwatch, steps_done: int) -> None:
    """Save the policy for evaluation, and a checkpoint to resume from, if they are due after this step.

    Raises:
        CheckpointError: The run's folder was deleted.
    """
    run.state.check_held()
    if steps_done in run.snapshot_steps:
        run.save_policy(run.policy, run.state.snapshot(steps_done))
    if steps_done % run.checkpoint_every == 0 or steps_done == run.recipe.steps:
        run.state.check_held()  # saving a policy can take minutes
        ledger.flush(steps_done)
        save_checkpoint(run, learner, watch, steps_done)
        run.on_checkpoint(run.metrics)


def save_checkpoint(run: Run, learner: Learner, watch: Stopwatch, steps_done: int) -> None:
    """Save everything that the next step depends on.

    All processes must call this, because weights may be sharded; the main process writes.
    """
    state = {
        "learner": learner.state_dict(),
        "selector": run.selector.state_dict(),
        "held": [[asdict(rollout) for rollout in group.rollouts] for group in run.held],
        "metrics": run.metrics,
        "watch": watch.state_dict(),
    }
    if is_main_process():
        run.state.save(steps_done, state)


def load_checkpoint(run: Run, learner: Learner, watch: Stopwatch) -> int:
    """Restore the last checkpoint, if there is one, and return the number of finished steps."""
    checkpoint = run.state.load()
    if checkpoint is None:
        return 0
    steps_done, state = checkpoint
    learner.load_state_dict(state["learner"])
    run.selector.load_state_dict(state["selector"])
    run.held[:] = [Group.from_rollouts(map(Rollout.from_fields, rollouts)) for rollouts in state["held"]]
    run.metrics[:] = state["metrics"]
    watch.load_state_dict(state["watch"])
    return steps_done
