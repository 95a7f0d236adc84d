"""What a configuration comes to: jobs, rollouts and tokens of each rule that samples or trains.

Rollouts are exact, as no selector's number of rollouts a step depends on rewards. Tokens of completions are an upper
bound unless their mean length is given.
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
    """Mean tokens of a prompt, and of a completion."""

    prompt: float
    completion: float


@dataclass(frozen=True)
class Work:
    """Of one rule, or of one method of it.

    at_once: completions that can be sampled together. trained: tokens that updates go over. snapshots: policies kept.
    """

    rule: str
    jobs: int
    method: str = ""
    runs: int = 0
    rollouts: int = 0
    at_once: int = 0
    prompt_tokens: float = 0
    completion_tokens: float = 0
    trained: float = 0
    snapshots: int = 0


def work_of(config: Config, lengths: Lengths) -> list[Work]:
    """The rules' work, in their order, all of it: what lies on disk already is not taken off.

    Raises:
        UserError: the number of questions of a benchmark is unknown.
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
        evaluation("evaluate_base", len(bases), len(bases), len(bases), config, questions, lengths),
        *([training("profile", config.profile, profiled, len(profiled), experiment, lengths)] if profiled else []),
        *(
            training("train", method, group, batches(experiment, group), experiment, lengths)
            for method, group in by_method(runs).items()
        ),
        evaluation(
            "evaluate", batches(experiment, runs), len(runs), snapshots(experiment, runs), config, questions, lengths
        ),
    ]


def batches(experiment: Experiment, runs: list[str]) -> int:
    """Jobs of some runs: seeds of a pool and method share one."""
    pairs = {run.rpartition("/")[0] for run in runs}
    return len(pairs) * -(-len(experiment.config.seeds) // experiment.config.seeds_per_job)


def snapshots(experiment: Experiment, runs: list[str]) -> int:
    """Policies that some runs keep for evaluation."""
    return sum(len(experiment.rule_params.train(run.split("/")[1]).snapshot_steps) for run in runs)


def by_method(runs: list[str]) -> dict[str, list[str]]:
    """POOL/METHOD/SEED by method."""
    found: dict[str, list[str]] = {}
    for run in runs:
        found.setdefault(run.split("/")[1], []).append(run)
    return found


def training(rule: str, method: str, runs: list[str], jobs: int, experiment: Experiment, lengths: Lengths) -> Work:
    """The work of a method's training runs, or of profiling runs."""
    recipe = experiment.rule_params.recipe(method)
    rollouts = len(runs) * recipe.steps * recipe.rollouts_per_step
    trained = len(runs) * recipe.steps * trained_rows(recipe) * (lengths.prompt + lengths.completion)
    return Work(
        rule,
        jobs,
        method,
        len(runs),
        rollouts,
        recipe.rollouts_per_step,
        rollouts * lengths.prompt,
        rollouts * lengths.completion,
        trained,
        snapshots(experiment, runs) if rule == "train" else 0,
    )


def trained_rows(recipe: Recipe) -> int:
    """Completions that the updates of a step go over, at most: its own, and the replayed ones."""
    replayed = recipe.reuse.updates * recipe.reuse.groups * recipe.group_size if recipe.reuse else 0
    return recipe.rollouts_per_step * recipe.epochs + replayed


def update_rows(recipe: Recipe) -> float:
    """Completions of one update, at most."""
    replayed = recipe.reuse.groups * recipe.group_size if recipe.reuse else 0
    return (recipe.rollouts_per_step + replayed) / recipe.minibatches


def evaluation(
    rule: str, jobs: int, runs: int, policies: int, config: Config, sizes: Mapping[str, int], lengths: Lengths
) -> Work:
    """One greedy completion and the sampled ones of every question, for each policy; sizes: questions by benchmark."""
    samples, temperature = config.evaluate.by_benchmark(config.data.group_of)
    sampled = sum(samples[name] * size for name, size in sizes.items() if temperature[name] > 0)
    rollouts, at_once = policies * (sum(sizes.values()) + sampled), max(sampled, sum(sizes.values()))
    return Work(rule, jobs, "", runs, rollouts, at_once, rollouts * lengths.prompt, rollouts * lengths.completion)


def questions_of_benchmarks(config: Config) -> dict[str, int]:
    """Benchmark -> questions."""
    families = families_of(config.data)
    return {
        name: config.data.questions if name in families else source_size(config, name) for name in config.data.group_of
    }


def source_size(config: Config, name: str) -> int:
    """How many prompts a source holds.

    Raises:
        UserError: it does not say, and is no local file that could be counted.
    """
    source = source_named(config.data, name)
    if source.prompts is not None:
        return source.prompts
    if source.file is None:
        raise UserError(f"data.sources.{name}.prompts: missing; say how many prompts it holds")
    return len(load_source(name, source, None).prompts)
