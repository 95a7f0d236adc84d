"""Checks before any job starts: errors that can be found early stop the workflow with one line."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from dopr.bounds.bound import find_bound
from dopr.config.config_files import BASE, ConfigFiles
from dopr.config.recipe import Recipe
from dopr.config.schema import HUB, Config, WarmStart
from dopr.data.families import EMBEDDED, KNOWN, find
from dopr.data.sources import check_source, mirror_of, source_named, sources_of, used_sources
from dopr.data.splits import families_of
from dopr.data.templates import OWN, make_template
from dopr.errors import ConfigError, UserError, suggestion
from dopr.files import DataError, read_json, search
from dopr.models.gguf.place import locate
from dopr.models.kinds import check_config
from dopr.models.model_folder import check_folder, context_of, read_shape
from dopr.plugins import load_callable
from dopr.runtime.run_state import RunState, check_same_job
from dopr.selection.parts.drawing import OptionError
from dopr.selection.selector import Setup, built_in, check_options, make_selector
from dopr.workflow.rule_params import RuleParams

LARGE_POOL = 10_000  # prompts of a pool whose size is not known yet


def open_config(raw: dict[str, Any], files: ConfigFiles | None = None, main: bool = True) -> Config:
    """Return the configuration, checked against everything that a job will need.

    Args:
        raw: the merged configuration.
        files: the files it was merged from.
        main: see dopr.workflow.experiment.open_experiment; other processes skip the slow check.

    Raises:
        ConfigError: it cannot be run; names the file, the key, the value and the fix.
    """
    config = Config.parse(raw, files)
    with (files or ConfigFiles({BASE: raw})).naming():
        config = check_selectors(config)
        check_rewards(config)
        check_families(config)
        check_warm_start(config)
        check_data(config)
        check_base(config)
        if main:
            check_base_kind(config)
        check_evaluation_tokens(config)
        check_engine(config)
        check_bounds(config)
        check_methods(config)
        check_fit(config)
    return config


def read_config(paths: Sequence[Path]) -> Config:
    """Return the configuration that files merge to, in Snakemake's order, checked as Snakemake has it checked.

    Raises:
        DataError: a file is missing or holds no mapping.
        ConfigError: it cannot be run; names the file, the key, the value and the fix.
    """
    files = ConfigFiles.read(paths)
    return open_config(files.merged(), files)


def check_selectors(config: Config) -> Config:
    """Check that every recipe's selector exists and takes its options; return the configuration with their types."""
    recipes = {}
    for name, recipe in config.recipes.items():
        try:
            options = check_options(recipe.selector, recipe.options)
        except ValueError as error:
            key = f"recipes.{name}." if str(error).startswith("options.") else f"recipes.{name}.selector: "
            raise ConfigError(f"{key}{error}") from None
        recipes[name] = recipe.model_copy(update={"options": options})
    return config.model_copy(update={"recipes": recipes})


def check_fit(config: Config) -> None:
    """Check that the options of dopr's selectors fit each other, the recipe and the pools, before hours of profiling.

    Each selector in use is made for a pool of the smallest known size, or a large one, with made-up features and
    accuracies. Whether `fixed` names prompts of the pool is only known when there is one.
    """
    sizes = [size for name in config.pools if (size := config.data.pools[name].size)]
    for name in [*config.used_recipes, config.profile]:
        recipe = config.recipes[name]
        if recipe.selector not in built_in():
            continue
        named, counts = recipe.options.get("prompts", []), [n for n in recipe.options.values() if isinstance(n, int)]
        size = min(sizes) if sizes else max(LARGE_POOL, recipe.prompts_per_step, *counts)
        pool = (*named, *(f"{config.pools[0]}-{i:04}" for i in range(size - len(named))))
        try:
            make_selector(recipe.selector, pretended(pool, recipe), recipe.options)
        except OptionError as error:
            raise ConfigError(f"recipes.{name}.options: {error}") from None


def pretended(pool: tuple[str, ...], recipe: Recipe) -> Setup:
    """Return a setup whose prompts all have the same features and the same history."""
    history: dict[str, tuple[float, ...]] = dict.fromkeys(pool, (0.5, 0.0))
    features = np.ones((len(pool), 1), np.float32)
    return Setup(pool, 0, recipe.prompts_per_step, recipe.group_size, history, lambda kind: features)


def check_rewards(config: Config) -> None:
    """Check that the user's reward functions can be loaded."""
    trained = [(f"recipes.{name}.reward.function", recipe.reward.function) for name, recipe in config.recipes.items()]
    evaluated = [("evaluate.reward", name) for name in config.evaluate.functions(config.evaluated).values()]
    for key, function in trained + evaluated:
        if function:
            try:
                load_callable(function)
            except UserError as error:
                raise ConfigError(f"{key}: {error}") from None


def check_families(config: Config) -> None:
    """Check that every task family in the configuration exists."""
    named = {"data.benchmarks": families_of(config.data)}
    for name, pool in config.data.pools.items():
        named[f"data.pools.{name}.families"] = [*pool.families, pool.zero_signal_family]
    if config.base.model is None:
        named |= warm_start_families(config.base.warm_start)
    for key, families in named.items():
        for family in families:
            try:
                find(family, EMBEDDED if key.startswith("base.") else KNOWN)
            except ValueError as error:
                sources = (
                    f"; known sources are {', '.join(sources_of(config.data))}" if key == "data.benchmarks" else ""
                )
                raise ConfigError(f"{key}: {error}{sources}") from None


def warm_start_families(warm_start: WarmStart) -> dict[str, list[str]]:
    """Return the task families that the embedded policy is trained on, by configuration key."""
    return {
        "base.warm_start.gate_family": [warm_start.gate_family],
        "base.warm_start.skill_families": list(warm_start.skill_families),
        "base.warm_start.habit_families": list(warm_start.habit_families),
    }


def check_warm_start(config: Config) -> None:
    """Check that the embedded policy, if it is used, can be made and can read its prompts."""
    warm_start = config.base.warm_start
    if config.base.model is not None:
        return
    styled = [*warm_start.habit_styles]
    for family in warm_start.habit_families:
        if family.rstrip("123456789") not in styled:
            raise ConfigError(f"base.warm_start.habit_styles: has no entry for {family}; add one")
    if warm_start.hidden_size % (2 * warm_start.heads):
        raise ConfigError(
            f"base.warm_start.heads: {warm_start.heads} heads do not divide base.warm_start.hidden_size "
            f"{warm_start.hidden_size} into even parts"
        )
    if config.rollout.max_new_tokens >= warm_start.max_length:
        raise ConfigError(
            f"rollout.max_new_tokens: {config.rollout.max_new_tokens} does not fit "
            f"base.warm_start.max_length {warm_start.max_length}"
        )
    if warm_start.gate_family not in families_of(config.data):
        raise ConfigError(f"base.warm_start.gate_family: {warm_start.gate_family!r} is none of data.benchmarks")
    if config.prompt.template != "plain":
        raise ConfigError(
            f"prompt.template: the embedded policy reads plain prompts, not {config.prompt.template}; give base.model"
        )


def check_data(config: Config) -> None:
    """Check that sources, the template and local files exist; the data job checks the numbers of questions."""
    data, known = config.data, sources_of(config.data)
    named = {f"data.pools.{name}.source": pool.source for name, pool in data.pools.items()}
    named["data.validation.source"] = data.validation.source if data.validation else None
    for key, source in named.items():
        if source and source not in known:
            raise ConfigError(f"{key}: there is no source {source!r}{suggestion(source, list(known))}")
    try:
        if config.prompt.template != OWN:
            make_template(config.prompt, None)
        for name in used_sources(data):
            check_source(name, source_named(data, name), mirror_of(data))
    except DataError as error:
        raise ConfigError(f"{error}") from None
    except ValueError as error:
        raise ConfigError(f"data: {error}") from None


def check_base(config: Config) -> None:
    """Check that a given model is a folder with a checkpoint of a supported kind, or a GGUF file.

    The converting job checks the content of such a file; the fetching job checks a model of the hub.
    """
    base = config.base
    if base.model is None or base.fetched:
        return
    if base.converted:
        locate(base.model)
        return
    folder = Path(base.model)
    if not folder.is_dir() and HUB.match(base.model):
        raise ConfigError(
            f"base.model: there is no folder {folder}; a model of the hub needs base.revision, its commit"
        )
    try:
        check_folder(folder)
    except DataError as error:
        raise ConfigError(f"base.model: {error}") from None
    context = context_of(read_shape(folder))
    if context is not None and context <= config.rollout.max_new_tokens:
        raise ConfigError(
            f"rollout.max_new_tokens: {config.rollout.max_new_tokens} does not fit the context of {context} of {folder}"
        )


def check_base_kind(config: Config) -> None:
    """Check that transformers can load a given model; the fetching job checks a model of the hub."""
    if config.base.model and not config.base.fetched and not config.base.converted:
        check_config(Path(config.base.model) / "config.json", "base.model")


def check_evaluation_tokens(config: Config) -> None:
    """Check that the completions of evaluation fit the base policy's context."""
    context: int | None = config.base.warm_start.max_length
    if config.base.fetched or config.base.converted:
        return
    if config.base.model is not None:
        context = context_of(read_shape(Path(config.base.model)))
    if context is not None and config.evaluation_tokens >= context:
        raise ConfigError(
            f"evaluate.max_new_tokens: {config.evaluation_tokens} does not fit the model's context of "
            f"{context}; lower it (the profile {config.evaluate.profile!r} may have set it)"
        )


def check_engine(config: Config) -> None:
    """Check the engine: a process opens vLLM once, so for one run only; only vLLM has tensor parallelism."""
    processes, tensor_parallel = config.hardware.processes, config.rollout.tensor_parallel
    if tensor_parallel > 1 and config.rollout.engine != "vllm":
        raise ConfigError(
            f"rollout.tensor_parallel: {tensor_parallel} processes share a vllm, not a torch engine; set it to "
            "1, or rollout.engine to vllm"
        )
    if processes % tensor_parallel:
        raise ConfigError(
            f"rollout.tensor_parallel: {tensor_parallel} does not divide the {processes} processes that train "
            "together; change it or hardware.processes"
        )
    offloading = [name for name, recipe in config.recipes.items() if recipe.offload_optimizer]
    if processes > 1 and offloading:
        raise ConfigError(
            f"recipes.{offloading[0]}.offload_optimizer: it is for one process, not for {processes}, which share the "
            "optimiser already; set it to false"
        )
    if config.rollout.engine != "vllm":
        return
    if config.seeds_per_job > 1:
        raise ConfigError(
            f"seeds_per_job: {config.seeds_per_job} runs in one process cannot each open vllm; set it to 1"
        )


def check_packages(config: Config) -> None:
    """Check that the packages of the engine and of adapters are installed if they are used."""
    if config.rollout.engine == "vllm" and find_spec("vllm") is None:
        raise ConfigError(
            "rollout.engine: vllm is not installed here: pip install --editable '.[vllm]' in the clone on a GPU, or "
            "`make vllm` on a CPU (docs/vllm.md); or set rollout.engine to torch"
        )
    for name, recipe in config.recipes.items():
        if recipe.lora and find_spec("peft") is None:
            raise ConfigError(
                f"recipes.{name}.lora: needs peft, which is not installed: "
                "pip install --editable '.[lora]' in the clone"
            )


def check_bounds(config: Config) -> None:
    """Check that every bound of the sample-complexity figure can be loaded and takes its options."""
    bounds = config.complexity.bounds
    for key, names in {"rollouts": bounds.rollouts, "prompts": bounds.prompts}.items():
        for name in names:
            try:
                find_bound(name)
            except UserError as error:
                raise ConfigError(f"complexity.bounds.{key}: {error}") from None


def check_methods(config: Config) -> None:
    """Check that every point of the sample-complexity figure, if it is drawn, is a method."""
    jobs = RuleParams(config)
    for count, method in config.complexity.methods.items() if config.complexity.pools else ():
        try:
            jobs.recipe(method)
        except ConfigError as error:
            raise ConfigError(f"complexity.methods.{count}: {error}") from None


def check_states(config: Config, jobs: RuleParams, folder: Path) -> None:
    """Check that unfinished runs have this configuration and, if code_policy is `stop`, this code.

    Raises:
        CheckpointError: a run has another; names the folder and the key or the modules.
    """
    for job_file in search(folder, "job.json"):
        stage, _, *method = job_file.parent.relative_to(folder).parts
        job = read_json(job_file)
        if stage != "profile" and not jobs.knows(method[0]):
            continue  # the method is no longer in the configuration
        params = jobs.profile() if stage == "profile" else jobs.train(method[0])
        settings = params.describe()
        check_same_job(job_file.parent, {key: job.get(key) for key in settings}, settings)
        if config.code_policy == "stop":
            script = "profile_prompts" if stage == "profile" else "train"
            code = jobs.code_hashes(script, params.recipe.selector)
            RunState(job_file.parent).check_code(code)
