"""The configuration of an experiment. Types and ranges are checked, and unknown keys raise an error.

`Config.parse` takes the mapping of config.yaml with all overlays merged. It returns a frozen object, or raises a
ConfigError with one line that names the file, the key, the value and the fix.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from dopr.config.complexity import Complexity
from dopr.config.config_files import BASE, ConfigFiles
from dopr.config.data import Data, PromptStyle, Weight, Weights
from dopr.config.evaluation import Evaluate
from dopr.config.grading import Verify
from dopr.config.hardware import Hardware
from dopr.config.inheritance import inherit, merge
from dopr.config.problems import explain
from dopr.config.recipe import Recipe
from dopr.config.section import TOP, PositiveInt, Section, Share
from dopr.errors import ConfigError, suggestion

FILE_NAME = re.compile(r"[A-Za-z0-9_-]+")
SPLITS = ("test", "validation")  # files beside those of the pools
HUB = re.compile(r"[\w.-]+/[\w.-]+$")  # names of models on the Hugging Face hub


class WarmStart(Section):
    """How the embedded starting policy is made by supervised training.

    It first learns to solve problems from correct solutions (skill). Then it learns from a mixture of solution styles
    that hides this skill (habit).
    """

    seed: int
    """Seed of the weights and of the data."""
    hidden_size: PositiveInt
    """Hidden size of the network."""
    intermediate_size: PositiveInt
    """Hidden size of the feed-forward layers."""
    layers: PositiveInt
    """Number of layers."""
    heads: PositiveInt
    """Number of attention heads."""
    max_length: PositiveInt
    """Context length in tokens."""
    batch_size: PositiveInt
    """Problems in a step of either phase."""
    skill_steps: PositiveInt
    """Steps of the first phase."""
    skill_learning_rate: float = Field(gt=0)
    """Peak learning rate of the first phase."""
    skill_families: Weights
    """Task family -> its weight in the first phase."""
    habit_steps: PositiveInt
    """Steps of the second phase."""
    habit_learning_rate: float = Field(gt=0)
    """Peak learning rate of the second phase."""
    habit_families: Weights
    """Task family -> its weight in the second phase."""
    habit_styles: dict[str, dict[Literal["careful", "sloppy", "direct", "unboxed"], Weight]]
    """Kind of task family -> weight of each solution style. dopr.data.arithmetic describes the styles."""
    gate_family: str
    """The benchmark that the policy is checked on after the first phase."""
    gate_accuracy: Share
    """The least sampled accuracy there. A policy below it has nothing that RL could elicit."""
    shipped: bool = True
    """Take resources/toy_policy where it was made by these settings and from none of the held-out questions."""


class Base(Section):
    """The starting policy."""

    model: str | None
    """A model folder, a GGUF file, or a model of the hub. null makes the embedded policy.

    A GGUF file is FILE.gguf, or package:NAME/FILE.gguf in an installed Python package. A model of the hub is owner/name
    and needs a `revision`.
    """
    revision: str | None = None
    """The commit of a model of the hub."""
    attn_implementation: str | None = None
    """Attention implementation, by its name in transformers. null is sdpa where the architecture has it."""
    warm_start: WarmStart
    """How the embedded policy is made."""

    @property
    def fetched(self) -> str | None:
        """The folder that a model of the hub is downloaded to; None for another model."""
        return f"results/base/{self.model.replace('/', '--')}" if self.model and self.revision else None

    @property
    def converted(self) -> str | None:
        """The folder that a GGUF file is converted to; None for another model."""
        is_gguf = self.model is not None and self.revision is None and self.model.endswith(".gguf")
        return f"results/base/{Path(self.model or '').stem}" if is_gguf else None

    @property
    def local(self) -> str | None:
        """The model folder that needs no network: the one that is given, or that of a GGUF file; else None."""
        return self.converted or (None if self.revision else self.model)

    @model_validator(mode="after")
    def _check_name(self) -> Base:
        if self.revision and not HUB.match(self.model or ""):
            raise ValueError(f"revision: goes with a model of the hub, owner/name, not {self.model!r}; set it to null")
        return self


class SamplingParams(Section):
    """How completions are sampled in training and evaluation."""

    temperature: float = Field(ge=0)
    """Sampling temperature in training, above 0: completions of a prompt that are all equal have no advantages."""
    max_new_tokens: PositiveInt
    """Token limit of a completion."""
    engine: Literal["torch", "vllm"] = "torch"
    """The engine that samples completions."""
    kv_cache_gb: float | None = Field(default=None, gt=0)
    """Memory of vLLM's KV cache in GiB. null is half of a GPU's free memory, and 1 on a CPU."""
    enforce_eager: bool | None = None
    """Run vLLM without CUDA graphs and compilation. null does so on a CPU only."""
    tensor_parallel: PositiveInt = 1
    """Number of training processes that share one vLLM."""
    max_logprob_gap: float | None = Field(default=None, gt=0)
    """A run stops when the log-probabilities of sampler and trainer differ by more nats, at the 95 % quantile.

    null is 0.001, and 0.5 with bfloat16.
    """

    @model_validator(mode="after")
    def _check_temperature(self) -> SamplingParams:
        if self.temperature == 0:
            raise ValueError(
                "temperature: 0 makes all rollouts of a prompt equal, so that none has an advantage and nothing is "
                "learned; give more, such as 1.0 (evaluate.temperature may be 0)"
            )
        return self

    def gap_limits(self, dtype: str) -> tuple[float, float]:
        """Return the largest allowed log-probability gap in nats: of the mean over tokens, and of the 95 % quantile.

        The second is max_logprob_gap, or a default that a correct engine stays well below (docs/vllm.md). The first is
        a fifth of it.
        """
        quantile_limit = self.max_logprob_gap or {"float32": 0.001, "bfloat16": 0.5}[dtype]
        return quantile_limit / 5, quantile_limit


class Ratio(Section):
    """The comparison of selection and reuse: each off and on."""

    panels: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    """Panel title -> pools that repeat one experiment with other starting policies and other prompts."""
    control: str = "random_one"
    """The method with random prompts that selectors without reuse are compared with."""
    control_reuse: str = "random_one_reuse"
    """The method with random prompts that selectors with reuse are compared with."""
    drawn: list[str] = Field(default_factory=list)
    """The methods in the figure. An empty list is all. The tables have all."""


class Tune(Section):
    """The learning-rate search on validation questions. It is a target of its own, outside the experiment."""

    methods: list[str]
    """The methods to tune."""
    learning_rates: list[Annotated[float, Field(gt=0)]]
    """The learning rates to try."""
    seeds: list[int]
    """The seeds to try each learning rate with."""
    pools: list[str] = Field(default_factory=list)
    """The pools to tune on. An empty list is all."""


def distinct(values: list[Any]) -> list[Any]:
    """Raise ValueError if a value is repeated."""
    if len(set(values)) < len(values):
        raise ValueError(f"{values} repeats a value")
    return values


class Config(Section):
    """The whole experiment."""

    replaced_keys: ClassVar[tuple[str, ...]] = ("train",)
    ablation: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    """Name of an ablation. Only its figures are made, in results/ablations/NAME. null is the main experiment."""
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(distinct)]
    """Seeds of the training runs."""
    pools: Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]
    """The prompt pools to train on, of data.pools."""
    methods: Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]
    """The recipes to compare. The figures have this order."""
    seeds_per_job: PositiveInt
    """Runs that share a process, one after another."""
    data: Data
    """Benchmarks, pools and data sets."""
    prompt: PromptStyle = PromptStyle()
    """How a question becomes a prompt."""
    base: Base
    """The starting policy."""
    hardware: Hardware = Hardware()
    """The resources of a job that profiles, trains or evaluates."""
    rollout: SamplingParams
    """How completions are sampled."""
    verify: Verify
    """How completions are graded."""
    checkpoint_every: PositiveInt
    """Steps between the checkpoints that a stopped run resumes from."""
    on_code_change: Literal["restart", "stop", "continue"] | None = None
    """What happens to runs of other code (docs/reproducibility.md). null is restart without base.model, else stop.

    restart does them again. stop keeps finished runs and does not resume stopped ones. continue keeps finished runs and
    resumes stopped ones.
    """
    profile: str
    """The recipe of the profiling run."""
    recipes: dict[str, Recipe]
    """The training methods, by name. The key `train` holds defaults for all."""
    complexity: Complexity
    """The sample-complexity figure."""
    evaluate: Evaluate
    """When and how checkpoints are evaluated."""
    published: bool = True
    """Draw and tabulate the numbers of the papers beside those of this experiment."""
    ratio: Ratio = Ratio()
    """The comparison of selection and reuse."""
    tune: Tune
    """The learning-rate search."""

    @model_validator(mode="before")
    @classmethod
    def _recipe_defaults(cls, raw: dict[str, Any]) -> dict[str, Any]:
        """Fill each recipe's missing keys from its `like` recipe, then from `train`."""
        raw = dict(raw)
        defaults = raw.pop("train", {})
        if not isinstance(defaults, dict):
            raise ValueError(f"train: {defaults!r} is no mapping; give keys and values")
        if isinstance(raw.get("recipes"), dict):
            raw["recipes"] = {
                name: merge(defaults, inherit(name, recipe, raw["recipes"])) if isinstance(recipe, dict) else recipe
                for name, recipe in raw["recipes"].items()
            }
        return raw

    @model_validator(mode="after")
    def _names_exist(self) -> Config:
        recipes, pools = list(self.recipes), list(self.data.pools)
        in_panels = [pool for members in self.ratio.panels.values() for pool in members]
        for key, names, where, known in (
            ("methods", self.methods, "recipes", recipes),
            ("profile", [self.profile], "recipes", recipes),
            ("complexity.recipe", [self.complexity.recipe], "recipes", recipes),
            ("evaluate.reference", [self.reference], "`methods`", self.methods),
            ("tune.methods", self.tune.methods, "recipes", recipes),
            ("pools", self.pools, "data.pools", pools),
            ("complexity.pools", self.complexity.pools, "`pools`", self.pools),
            ("ratio.panels", in_panels, "`pools`", self.pools),
            ("tune.pools", self.tune.pools, "`pools`", self.pools),
            ("ratio.drawn", self.ratio.drawn, "`methods`", self.methods),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{key}: {name!r} is not in {where}{suggestion(name, known)}")
        self.evaluate.by_benchmark(self.evaluated)
        self.evaluate.functions(self.evaluated)
        self._check_pool_sizes()
        for name, recipe in self.recipes.items():
            if TOP.match(name):
                raise ValueError(f"recipes.{name}: top_N are the first N prompts of the ranking; take another name")
            buffer, limit = recipe.loss.overlong_buffer, self.rollout.max_new_tokens
            if buffer > limit:
                raise ValueError(
                    f"recipes.{name}.loss.overlong_buffer: {buffer} is more than the {limit} tokens there are"
                )
        return self

    @model_validator(mode="after")
    def _names_fit_files(self) -> Config:
        """Check the names that files get; Snakemake would find no rule for others."""
        for name in self.data.pools:
            if not FILE_NAME.fullmatch(name) or name in SPLITS:
                raise ValueError(
                    f"data.pools.{name}: files get this name; give another, of letters, digits, _ and -, not test or "
                    "validation"
                )
        for name in self.methods:
            if not FILE_NAME.fullmatch(name.replace(".", "")):
                raise ValueError(f"recipes.{name}: files get this name; give another, of letters, digits, _, - and .")
        return self

    @property
    def evaluated(self) -> list[str]:
        """All sets of questions that are evaluated: the benchmarks, and the source of validation questions."""
        validation = [self.data.validation.source] if self.data.validation else []
        return [*self.data.group_of, *validation]

    @property
    def reference(self) -> str:
        """The method that savings are measured against."""
        return self.evaluate.reference or self.methods[0]

    @property
    def used_recipes(self) -> list[str]:
        """The recipes of the comparison and of the sample-complexity figure, in the configuration's order."""
        points = {self.complexity.recipe, *self.complexity.methods.values()} if self.complexity.pools else set()
        return [name for name in self.recipes if name in {*self.methods, *points}]

    def control_of(self, method: str) -> str:
        """Return the method that a method is compared with in `ratio`: the same with random prompts."""
        return self.ratio.control_reuse if self.recipes[method].reuse else self.ratio.control

    @property
    def evaluated_rollouts(self) -> list[int]:
        """The numbers of training rollouts after which all methods are evaluated, besides the end of each run."""
        budget = max(recipe.steps * recipe.rollouts_per_step for recipe in map(self.recipes.__getitem__, self.methods))
        return self.evaluate.rollouts or sorted({-(-budget // divisor) for divisor in (1, 2, 4, 8, 16)})

    @property
    def code_policy(self) -> Literal["restart", "stop", "continue"]:
        """What happens to results of other code. Runs of the embedded policy cost minutes, so they restart."""
        return self.on_code_change or ("stop" if self.base.model else "restart")

    @property
    def evaluation_tokens(self) -> int:
        """Token limit of a completion in evaluation."""
        return self.evaluate.max_new_tokens or self.rollout.max_new_tokens

    def base_of(self, pool: str) -> str:
        """Return the folder of a pool's starting policy: the given model, or the embedded one with the pool's seed."""
        seed = self.data.pools[pool].base_seed
        embedded = f"results/base/{self.base.warm_start.seed if seed is None else seed}"
        return self.base.fetched or self.base.local or embedded

    def _check_pool_sizes(self) -> None:
        sizes = {name: size for name in self.pools if (size := self.data.pools[name].size)}
        if not sizes:
            return  # the data job checks pools of unknown size
        pool = min(sizes, key=lambda name: sizes[name])
        fewest = f"the {sizes[pool]} prompts of data.pools.{pool}"
        by_prompts = self.complexity.methods if self.complexity.pools else {}
        most_prompts = max((count for count in by_prompts if count != "all"), default=0)
        if most_prompts > sizes[pool]:
            raise ValueError(f"complexity.methods: {most_prompts} is more than {fewest}; set it to null")
        for name in self.used_recipes:
            recipe = self.recipes[name]
            asked = {f"options.{key}": recipe.options.get(key) for key in ("candidates", "top")}
            for key, count in {"prompts_per_step": recipe.prompts_per_step, **asked}.items():
                if isinstance(count, int) and count > sizes[pool]:
                    raise ValueError(f"recipes.{name}.{key}: {count} is more than {fewest}")

    @classmethod
    def parse(cls, raw: dict[str, Any], files: ConfigFiles | None = None) -> Config:
        """Check a configuration.

        Args:
            raw: The merged mapping.
            files: The files that it was merged from. None is config.yaml alone.

        Raises:
            ConfigError: A key or value is wrong. The message is one line with the file, the key, the value and the fix.
        """
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            problem = explain(error, cls, files or ConfigFiles({BASE: raw}))
        raise ConfigError(problem)
