"""Checks made before any job starts: whatever can be known to fail later, fails now, in one line."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dopr.bounds.bound import find_bound
from dopr.checkpoint import check_same_job
from dopr.config import HUB, Config, ConfigError, WarmStart
from dopr.data.arithmetic import FAMILY, known_families
from dopr.data.sources import check_source, mirror_of, source_named, sources_of, used_sources
from dopr.data.splits import families_of, held_out, prompt_pool, questions_of
from dopr.data.templates import OWN, make_template
from dopr.errors import UserError
from dopr.files import DataError, read_json
from dopr.jobs import Jobs
from dopr.model_folder import check_folder, read_shape
from dopr.plugins import load_function
from dopr.selection.selector import check_options


def open_config(raw: dict[str, Any]) -> Config:
    """The configuration, checked against everything a job will need.

    Raises:
        ConfigError: it cannot be run; names the key, the value and the fix.
    """
    config = Config.parse(raw)
    check_selectors(config)
    check_families(config)
    check_warm_start(config)
    check_data(config)
    check_base(config)
    check_evaluation_tokens(config)
    check_engine(config)
    check_adapters(config)
    check_bounds(config)
    return config


def check_selectors(config: Config) -> None:
    """Every recipe's selector exists and takes its options; a reward function of the user's own can be loaded."""
    for name, recipe in config.recipes.items():
        try:
            check_options(recipe.selector, recipe.options)
        except ValueError as error:
            raise ConfigError(f"config.yaml: recipes.{name}: {error}") from None
        if recipe.reward.function:
            try:
                load_function(recipe.reward.function)
            except UserError as error:
                raise ConfigError(f"config.yaml: recipes.{name}.reward.function: {error}") from None


def check_families(config: Config) -> None:
    """Every task family named anywhere exists."""
    named = {"data.benchmarks": families_of(config.data)}
    for name, pool in config.data.pools.items():
        named[f"data.pools.{name}.families"] = [*pool.families, pool.zero_signal_family]
    if config.base.model is None:
        named |= warm_start_families(config.base.warm_start)
    for key, families in named.items():
        for family in families:
            match = FAMILY.match(family)
            if not match or match[1] not in known_families():
                sources = (
                    f"; known sources are {', '.join(sources_of(config.data))}" if key == "data.benchmarks" else ""
                )
                raise ConfigError(
                    f"config.yaml: {key}: there is no task family {family!r}; known are "
                    f"{', '.join(known_families())}, each with a level as in chain3{sources}"
                )


def warm_start_families(warm_start: WarmStart) -> dict[str, list[str]]:
    """The task families that the embedded policy's making names, by key."""
    return {
        "base.warm_start.gate_family": [warm_start.gate_family],
        "base.warm_start.skill_families": list(warm_start.skill_families),
        "base.warm_start.habit_families": list(warm_start.habit_families),
    }


def check_warm_start(config: Config) -> None:
    """The embedded policy, where it is the one in use, can be made and can read its prompts."""
    warm_start = config.base.warm_start
    if config.base.model is not None:
        return
    styled = [*warm_start.habit_styles]
    for family in warm_start.habit_families:
        if family.rstrip("123456789") not in styled:
            raise ConfigError(f"config.yaml: base.warm_start.habit_styles: has no entry for {family}; add one")
    if warm_start.hidden_size % (2 * warm_start.heads):
        raise ConfigError(
            f"config.yaml: base.warm_start.heads: {warm_start.heads} heads do not divide hidden_size "
            f"{warm_start.hidden_size} into even parts"
        )
    if config.rollout.max_new_tokens >= warm_start.max_length:
        raise ConfigError(
            f"config.yaml: rollout.max_new_tokens: {config.rollout.max_new_tokens} does not fit "
            f"base.warm_start.max_length {warm_start.max_length}"
        )
    if warm_start.gate_family not in families_of(config.data):
        raise ConfigError(f"config.yaml: base.warm_start.gate_family: {warm_start.gate_family!r} is no benchmark")
    if config.prompt.template != "plain":
        raise ConfigError(
            f"config.yaml: prompt.template: the embedded policy reads plain prompts, not {config.prompt.template}; "
            "give base.model"
        )


def check_data(config: Config) -> None:
    """Families have as many questions as are asked for; sources and the template exist, and so do local files."""
    data = config.data
    try:
        test, validation = held_out(data)
        for name, pool in data.pools.items():
            if pool.source is None:
                prompt_pool(name, pool, data.seed, questions_of(test, validation))
        if config.prompt.template != OWN:
            make_template(config.prompt, None)
        for name in used_sources(data):
            check_source(source_named(data, name), mirror_of(data))
    except DataError as error:
        raise ConfigError(f"config.yaml: {error}") from None
    except ValueError as error:
        raise ConfigError(f"config.yaml: data: {error}") from None


def check_base(config: Config) -> None:
    """A given model is a folder with a checkpoint of a supported kind; of one on the hub, the fetching job says."""
    base = config.base
    if base.model is None or base.fetched:
        return
    folder = Path(base.model)
    if not folder.is_dir() and HUB.match(base.model):
        raise ConfigError(
            f"config.yaml: base.model: there is no folder {folder}; a model of the hub needs base.revision, its commit"
        )
    try:
        check_folder(folder)
    except DataError as error:
        raise ConfigError(f"config.yaml: base.model: {error}") from None
    shape = read_shape(folder)
    if shape["max_position_embeddings"] <= config.rollout.max_new_tokens:
        raise ConfigError(
            f"config.yaml: rollout.max_new_tokens: {config.rollout.max_new_tokens} does not fit the context of "
            f"{shape['max_position_embeddings']} of {folder}"
        )


def check_evaluation_tokens(config: Config) -> None:
    """What is generated in evaluation fits the starting policy's context."""
    context = config.base.warm_start.max_length
    if config.base.fetched:
        return
    if config.base.model is not None:
        context = read_shape(Path(config.base.model))["max_position_embeddings"]
    if config.evaluation_tokens >= context:
        raise ConfigError(
            f"config.yaml: evaluate.max_new_tokens: {config.evaluation_tokens} does not fit the model's context of "
            f"{context}; lower it (the profile {config.evaluate.profile!r} may have set it)"
        )


def check_engine(config: Config) -> None:
    """vLLM is opened once in a process, so each run has one of its own; it alone splits layers among processes."""
    processes, together = config.hardware.processes, config.rollout.tensor_parallel
    if together > 1 and config.rollout.engine != "vllm":
        raise ConfigError(
            f"config.yaml: rollout.tensor_parallel: {together} processes share a vllm, not a torch engine; set it to "
            "1, or rollout.engine to vllm"
        )
    if processes % together:
        raise ConfigError(
            f"config.yaml: rollout.tensor_parallel: {together} does not divide the {processes} processes that train "
            "together; change it or hardware.processes"
        )
    if config.seeds_together and processes > 1:
        raise ConfigError(
            f"config.yaml: seeds_together: it is for one process, not for {processes}; set hardware.processes to 1, or "
            "seeds_together to false"
        )
    if config.rollout.engine == "vllm" and config.seeds_per_job > 1 and not config.seeds_together:
        raise ConfigError(
            f"config.yaml: seeds_per_job: {config.seeds_per_job} runs in one process cannot each open vllm; set it to "
            "1, or with adapters seeds_together to true"
        )


def check_adapters(config: Config) -> None:
    """What adapters need is installed, where a recipe has them."""
    for name, recipe in config.recipes.items():
        if config.seeds_together and not recipe.lora:
            raise ConfigError(
                f"config.yaml: seeds_together: runs share a base by adapters, and recipes.{name} has none; set "
                "train.lora for all recipes, or seeds_together to false"
            )
        if recipe.lora and find_spec("peft") is None:
            raise ConfigError(
                f"config.yaml: recipes.{name}.lora: needs peft, which is not installed: pip install 'dopr[lora]'"
            )


def check_bounds(config: Config) -> None:
    """Every bound of the sample-complexity figure can be loaded and takes its options."""
    bounds = config.complexity.bounds
    for key, names in {"rollouts": bounds.rollouts, "prompts": bounds.prompts}.items():
        for name in names:
            try:
                find_bound(name)
            except UserError as error:
                raise ConfigError(f"config.yaml: complexity.bounds.{key}: {error}") from None


def check_methods(config: Config, jobs: Jobs) -> None:
    """Every point of the sample-complexity figure is a method."""
    for count, method in config.complexity.methods.items():
        try:
            jobs.recipe(method)
        except ConfigError as error:
            raise ConfigError(f"config.yaml: complexity.methods.{count}: {error}") from None


def check_states(config: Config, jobs: Jobs, folder: Path) -> None:
    """Unfinished runs were started with this configuration: the recipe and limits, seed by seed.

    Raises:
        CheckpointError: one was not; names the folder and the key.
    """
    for found in sorted(folder.glob("*/**/job.json")):
        stage, _, *method = found.parent.relative_to(folder).parts
        job = read_json(found)
        if stage != "profile" and not jobs.knows(method[0]):
            continue  # of a method that was taken out of the configuration since
        settings = jobs.profile() if stage == "profile" else jobs.train(method[0])
        keys = settings.keys() - {"code"}
        check_same_job(found.parent, {key: job.get(key) for key in keys}, {key: settings[key] for key in keys})
