"""What each rule depends on: a part of the configuration, and the hash of the code that it runs.

These are the rules' parameters. Snakemake reruns a job when they change, so a job depends on exactly what is here.
Method names are looked up in `recipes`; two forms are derived: `top_N`, the complexity recipe on the N highest-ranked
prompts, and `NAME@RATE`, a recipe with another learning rate (for tuning).
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from dopr.bounds.bound import place_of
from dopr.config.config_files import ConfigFiles
from dopr.config.recipe import Recipe
from dopr.config.schema import Config
from dopr.config.section import TOP
from dopr.data import reasoning_gym
from dopr.data.sources import source_named, used_sources
from dopr.data.templates import OWN, make_template
from dopr.errors import ConfigError, suggestion
from dopr.evaluation.params import EvaluationParams
from dopr.figures.catalogue import module_of as module_of_figure
from dopr.files import digest, read_json, sha256
from dopr.models.gguf.place import locate
from dopr.plugins import own_code
from dopr.selection.selector import module_of, uses_history
from dopr.training.params import TrainingParams
from dopr.workflow.code_hash import code_hash, code_hashes, with_neighbours

SCRIPTS = Path(__file__).parents[3] / "scripts"
READ_OF_EVALUATE = {"bootstrap", "checkpoint", "targets", "pass_at"}  # by figures and tables
NO_SELECTOR = "none"  # of a stage whose code is the same for every method
Settings = dict[str, Any]


class RuleParams:
    """Parameters of every rule, for one configuration and the scripts in `scripts`."""

    def __init__(self, config: Config, scripts: Path = SCRIPTS) -> None:
        self.config = config
        self.scripts = scripts

    @classmethod
    def load(cls, path: Path) -> RuleParams:
        """Read a resolved configuration.

        Raises:
            ConfigError: It was not written, as a workflow that has this one as a module has to ask for.
        """
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; if dopr is a module here, call dopr.onstart() in onstart")
        raw = read_json(path)
        return cls(Config.parse(raw, ConfigFiles({str(path): raw})))

    def recipe(self, method: str) -> Recipe:
        """Return the recipe of a method name.

        Raises:
            ConfigError: There is none.
        """
        name, at, rate = method.partition("@")
        recipes = self.config.recipes
        if top := TOP.match(name):
            changes: Settings = {"selector": "one_shot", "options": {"top": int(top[1])}}
            found = recipes[self.config.complexity.recipe].model_copy(update=changes)
        elif name in recipes:
            found = recipes[name]
        else:
            raise ConfigError(f"method {name!r} has no recipe{suggestion(name, list(recipes))}")
        return found.model_copy(update={"learning_rate": learning_rate_of(method, rate)}) if at else found

    def knows(self, method: str) -> bool:
        """Return whether a method name has a recipe."""
        name = method.partition("@")[0]
        return name in self.config.recipes or TOP.match(name) is not None

    def needs_history(self, method: str) -> bool:
        """Return whether a method's selector reads the profile's history."""
        recipe = self.recipe(method)
        return uses_history(recipe.selector, recipe.options)

    def data(self) -> Settings:
        """Return what the data depend on: benchmarks, pools, sources, the template, and the model they must fit."""
        config = self.config
        fit = {"model": config.base.model, "revision": config.base.revision, **self._fit()}
        sources = {name: source_named(config.data, name).model_dump(mode="json") for name in used_sources(config.data)}
        data = config.data.model_dump(mode="json")
        packages = reasoning_gym.package() if any(source["reasoning_gym"] for source in sources.values()) else {}
        return {"data": data, "sources": sources, "prompt": self._prompt(), "fit": fit, **packages}

    def base(self, seed: int) -> Settings:
        """Return what the starting policy of a warm-start seed depends on."""
        warm_start = self.config.base.warm_start.model_copy(update={"seed": seed}).model_dump(mode="json")
        return self._settings("base", warm_start=warm_start, verify=self._verify())

    def fetch(self) -> Settings:
        """Return what the download of a model from the hub depends on."""
        base = self.config.base
        return {"model": base.model, "revision": base.revision, "fit": self._fit()}

    def convert(self) -> Settings:
        """Return what a model folder made from a GGUF file depends on: the content of the file."""
        return {"gguf": sha256(locate(self.config.base.model or ""))}

    def profile(self) -> TrainingParams:
        """Return what the profiling run depends on: the training loop with the profile's recipe and no snapshots."""
        return self._training(self.config.recipes[self.config.profile], [])

    def train(self, method: str) -> TrainingParams:
        """Return what a method's training runs depend on."""
        return self._training(self.recipe(method), self.config.evaluated_rollouts)

    def evaluate(self) -> EvaluationParams:
        """Return what the evaluation of any checkpoint depends on."""
        config = self.config
        samples, temperature = config.evaluate.by_benchmark(config.evaluated)
        functions = config.evaluate.functions(config.evaluated).items()
        return EvaluationParams(
            samples=samples,
            temperature=temperature,
            between=config.evaluate.between,
            max_new_tokens=config.evaluation_tokens,
            rollout=config.rollout,
            verify=config.verify,
            prompt=self._prompt(),
            attn_implementation=config.base.attn_implementation,
            rewards={benchmark: {"function": name, "sha256": own_code(name)} for benchmark, name in functions},
        )

    def tune(self) -> Settings:
        """Return what the summary of the learning-rate search depends on."""
        return self._settings("tune", targets=self.config.evaluate.targets)

    def code_hashes(self, script: str, selector: str = NO_SELECTOR) -> dict[str, str]:
        """Return the hash of each module that a job runs, the selector's included, by name."""
        modules = [] if selector == NO_SELECTOR else with_neighbours(module_of(selector))
        return code_hashes(self.scripts / f"{script}.py", *modules)

    def code_as_json(self, script: str, selector: str = NO_SELECTOR) -> str:
        """Return the hash of each module that a job runs as text, for the file that Experiment.code_path names."""
        return json.dumps(self.code_hashes(script, unquote(selector)), sort_keys=True)

    def code(self, script: str, selector: str = NO_SELECTOR) -> str:
        """Return one hash of the code that a job runs."""
        return digest(self.code_hashes(script, selector))

    def figure(self, name: str) -> Settings:
        """Return what a figure depends on: the comparison, and the code of its own module."""
        return self._settings("figure", module_of_figure(name)[0], **self._comparison(), **self._bounds_of(name))

    def table(self, name: str) -> Settings:
        """Return what a group of tables depends on."""
        return self._settings("table", **self._comparison(), **self._bounds_of(name))

    def track(self) -> Settings:
        """Return what is logged of an experiment, and the code that logs it."""
        shown = self.config.evaluate.model_dump(mode="json", include={"pass_at", "targets"})
        return self._settings("track", benchmarks=self.config.data.benchmarks, **shown)

    def published(self, script: str) -> str:
        """Return the code of a figure or table of what papers print."""
        return code_hash(self.scripts / f"{script}.py", f"dopr.{script}s.published")

    def record(self) -> str:
        """Return the code that ranks a recorded history and draws how the ranking forms."""
        return code_hash(self.scripts / "figure.py", "dopr.commands.ranking")

    def _comparison(self) -> Settings:
        config = self.config
        return {
            **config.model_dump(mode="json", include={"pools", "methods", "seeds", "ratio"}),
            "benchmarks": config.data.benchmarks,
            "reference": config.reference,
            "selectors": {method: config.recipes[method].selector for method in config.methods},
            "profile_group": config.recipes[config.profile].group_size,
            "evaluate": config.evaluate.model_dump(mode="json", include=READ_OF_EVALUATE),
        }

    def _bounds_of(self, name: str) -> Settings:
        """Return the bounds where they are drawn or listed, with the code of each: a module's, or a user's file's."""
        if name not in ("complexity", "bounds"):
            return {}
        bounds = self.config.complexity.bounds
        own = {place: own_code(place) for place in map(place_of, [*bounds.rollouts, *bounds.prompts])}
        modules = [place.rpartition(":")[0] for place, code in own.items() if not code]
        return {
            "complexity": self.config.complexity.model_dump(mode="json"),
            "bounds": own | code_hashes(self.scripts / "figure.py", *modules),
        }

    def _training(self, recipe: Recipe, snapshots: list[int]) -> TrainingParams:
        config = self.config
        reach = [rollouts for rollouts in snapshots if rollouts <= recipe.steps * recipe.rollouts_per_step]
        steps = {-(-rollouts // recipe.rollouts_per_step) for rollouts in reach} | {recipe.steps}
        return TrainingParams(
            recipe=recipe,
            rollout=config.rollout,
            verify=config.verify,
            prompt=self._prompt(),
            attn_implementation=config.base.attn_implementation,
            checkpoint_every=config.checkpoint_every,
            snapshot_steps=tuple(sorted(steps)) if snapshots else (),
            reward_file=own_code(recipe.reward.function or "") or None,
        )

    def _fit(self) -> Settings:
        return {"max_new_tokens": self.config.rollout.max_new_tokens}

    def _prompt(self) -> Settings:
        """Return the prompt style with the hash of its template; only the data job knows that of a model's own."""
        style = self.config.prompt
        found = {} if style.template == OWN else make_template(style, None).describe()
        return {**style.model_dump(mode="json"), **found}

    def _verify(self) -> Settings:
        """Return the grader's settings without the number of workers, which changes no verdict."""
        return self.config.verify.model_dump(mode="json", exclude={"workers"})

    def _settings(self, script: str, *modules: str, **values: Any) -> Settings:
        return {**values, "code": code_hash(self.scripts / f"{script}.py", *modules)}


def learning_rate_of(method: str, text: str) -> float:
    """Return the rate of a method `RECIPE@RATE`.

    Raises:
        ConfigError: It is no finite number above 0.
    """
    try:
        rate = float(text)
    except ValueError:
        rate = math.nan
    if not 0 < rate < math.inf:
        raise ConfigError(f"method {method!r}: {text!r} is no learning rate; give a number above 0, as in grpo@0.0004")
    return rate
