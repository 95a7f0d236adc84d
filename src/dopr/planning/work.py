"""The work of a configuration: jobs, rollouts and tokens of each rule that samples or trains.

Rollouts are exact, but for `dopr` with `screening`: each step of any other selector has `prompts_per_step * group_size`
rollouts, whatever the rewards. Completion tokens are an upper bound, unless their mean length is given.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dopr.config.recipe import Recipe
from dopr.config.schema import Config
from dopr.data.sources import load_source, source_named
from dopr.data.splits import families_of
from dopr.errors import UserError
from dopr.workflow.experiment import Experiment
from dopr.workflow.rule_params import RuleParams


@dataclass(frozen=True)
class Lengths:
    """The mean number of tokens of a prompt and of a completion."""

    prompt: float
    completion: float


@dataclass(frozen=True)
class Work:
    """The work of a rule, or of one method of a rule.

    Args:
        rule: The name of the rule.
        jobs: Jobs of the rule.
        method: The method, if the rule has methods.
        runs: Training runs, or evaluated runs.
        rollouts: Completions to sample.
        concurrent_samples: Completions that can be sampled at the same time.
        prompt_tokens: Prompt tokens of all rollouts.
        completion_tokens: Completion tokens of all rollouts.
        trained_tokens: Tokens of all updates.
        snapshots: Policies to keep.
    """

    rule: str
    jobs: int
    method: str = ""
    runs: int = 0
    rollouts: int = 0
    concurrent_samples: int = 0
    prompt_tokens: float = 0
    completion_tokens: float = 0
    trained_tokens: float = 0
    snapshots: int = 0


def work_of(config: Config, lengths: Lengths) -> list[Work]:
    """Return the work of all rules, in their order. Results that are already on disk are not subtracted.

    Raises:
        UserError: If the number of questions of a benchmark is unknown.
    """
    experiment = Experiment(config, RuleParams(config), Path())
    runs = list(
        dict.fromkeys([*experiment.compared_runs(), *([] if config.ablation else experiment.complexity_runs())])
    )
    bases = {config.base_of(pool) for pool in config.pools}
    profiled = [f"{pool}/{config.profile}/0" for pool in experiment.profiled_pools]
    questions = questions_of_benchmarks(config)
    return [
        Work("data", 1),
        Work("store", 1),
        *([Work("base", len(bases))] if config.base.model is None else []),
        *([Work("fetch", 1)] if config.base.fetched else []),
        *([Work("convert", 1)] if config.base.converted else []),
        evaluation_work("evaluate_base", len(bases), len(bases), len(bases), config, questions, lengths),
        *([training_work("profile", config.profile, profiled, len(profiled), experiment, lengths)] if profiled else []),
        *(
            training_work("train", method, group, count_jobs(experiment, group), experiment, lengths)
            for method, group in by_method(runs).items()
        ),
        evaluation_work(
            "evaluate",
            count_jobs(experiment, runs),
            len(runs),
            count_snapshots(experiment, runs),
            config,
            questions,
            lengths,
        ),
        Work("track", 1),
    ]


def count_jobs(experiment: Experiment, runs: list[str]) -> int:
    """Return the number of jobs of some runs; a job has up to `seeds_per_job` seeds of a pool and method."""
    pairs = {run.rpartition("/")[0] for run in runs}
    return len(pairs) * -(-len(experiment.config.seeds) // experiment.config.seeds_per_job)


def count_snapshots(experiment: Experiment, runs: list[str]) -> int:
    """Return how many policies some runs keep for evaluation."""
    return sum(len(experiment.rule_params.train(run.split("/")[1]).snapshot_steps) for run in runs)


def by_method(runs: list[str]) -> dict[str, list[str]]:
    """Return the runs (POOL/METHOD/SEED) of each method."""
    groups: dict[str, list[str]] = {}
    for run in runs:
        groups.setdefault(run.split("/")[1], []).append(run)
    return groups


def training_work(rule: str, method: str, runs: list[str], jobs: int, experiment: Experiment, lengths: Lengths) -> Work:
    """Return the work of the training runs of a method, or of the profiling runs."""
    recipe = experiment.rule_params.recipe(method)
    rollouts = len(runs) * recipe.steps * recipe.rollouts_per_step
    trained_tokens = len(runs) * recipe.steps * trained_rows(recipe) * (lengths.prompt + lengths.completion)
    return Work(
        rule,
        jobs,
        method,
        len(runs),
        rollouts,
        recipe.rollouts_per_step,
        rollouts * lengths.prompt,
        rollouts * lengths.completion,
        trained_tokens,
        count_snapshots(experiment, runs) if rule == "train" else 0,
    )


def trained_rows(recipe: Recipe) -> int:
    """Return the most completions that the updates of a step use: each pass uses all new and replayed ones."""
    return recipe.epochs * (recipe.reuse.updates if recipe.reuse else 1) * pass_rows(recipe)


def update_rows(recipe: Recipe) -> float:
    """Return the most completions of one update."""
    return pass_rows(recipe) / recipe.minibatches


def pass_rows(recipe: Recipe) -> int:
    """Return the most completions of a pass: those of the step, and those drawn from the replay buffer."""
    replayed = recipe.reuse.groups * recipe.group_size if recipe.reuse else 0
    return recipe.rollouts_per_step + replayed


def evaluation_work(
    rule: str, jobs: int, runs: int, policies: int, config: Config, sizes: Mapping[str, int], lengths: Lengths
) -> Work:
    """Return the work of evaluating policies: a greedy completion and the sampled ones of every question.

    Of each run, all but the last policy have the samples of `evaluate.between`, if that is given.

    Args:
        rule: The name of the rule.
        jobs: Jobs of the rule.
        runs: Runs whose policies are evaluated.
        policies: Policies to evaluate.
        config: The configuration.
        sizes: Benchmark -> number of questions.
        lengths: Mean tokens of a prompt and of a completion.
    """
    samples, temperature = config.evaluate.by_benchmark(config.data.group_of)
    sampled = sum(samples[name] * size for name, size in sizes.items() if temperature[name] > 0)
    greedy, between = sum(sizes.values()), config.evaluate.between
    at_last = before = greedy + sampled
    if between is not None:  # at temperature 0 the greedy completion is the sample
        before = sum((between if temperature[name] > 0 else 1) * size for name, size in sizes.items())
    rollouts, concurrent = runs * at_last + (policies - runs) * before, max(sampled, greedy)
    return Work(rule, jobs, "", runs, rollouts, concurrent, rollouts * lengths.prompt, rollouts * lengths.completion)


def questions_of_benchmarks(config: Config) -> dict[str, int]:
    """Return the number of questions of each benchmark."""
    families = families_of(config.data)
    return {
        name: config.data.questions if name in families else source_size(config, name) for name in config.data.group_of
    }


def source_size(config: Config, name: str) -> int:
    """Return the number of prompts of a source.

    Raises:
        UserError: If the source does not state it, and is not a local file that can be counted.
    """
    source = source_named(config.data, name)
    if source.prompts is not None:
        return source.prompts
    if source.file is None:
        raise UserError(f"data.sources.{name}.prompts: missing; say how many prompts it holds")
    return len(load_source(name, source, None).prompts)
