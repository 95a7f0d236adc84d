"""The experiment's configuration: typed, range-checked, and strict about unknown keys.

`Config.parse` takes the mapping read from config.yaml (with any overlay merged in) and either returns a frozen
object or raises ConfigError with one line that names the file, the key, the value and the fix.
"""

from __future__ import annotations

import re
import sys
import typing
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from dopr.config.complexity import Complexity
from dopr.config.config_files import BASE, ConfigFiles
from dopr.config.data import Data, PromptStyle, Weights
from dopr.config.evaluation import Evaluate
from dopr.config.grading import Verify
from dopr.config.hardware import Hardware
from dopr.config.inheritance import inherit, merge
from dopr.config.recipe import Recipe
from dopr.config.section import PositiveInt, Section, Share
from dopr.errors import ConfigError, suggestion

HUB = re.compile(r"[\w.-]+/[\w.-]+$")  # the names of models there


class WarmStart(Section):
    """How the embedded policy is made: the skill first, then the bad habits that hide it."""

    seed: int
    hidden_size: PositiveInt
    intermediate_size: PositiveInt
    layers: PositiveInt
    heads: PositiveInt
    max_length: PositiveInt
    batch_size: PositiveInt
    skill_steps: PositiveInt
    skill_learning_rate: float = Field(gt=0)
    skill_families: Weights
    habit_steps: PositiveInt
    habit_learning_rate: float = Field(gt=0)
    habit_families: Weights
    habit_styles: dict[str, dict[Literal["careful", "sloppy", "direct", "unboxed"], Annotated[float, Field(gt=0)]]]
    gate_family: str
    gate_accuracy: Share


class Base(Section):
    """The starting policy: a folder in the Hugging Face layout, a GGUF file (FILE.gguf, or package:NAME/FILE.gguf in an
    installed Python package), with a revision a model of the hub (owner/name), or, when model is null, the warm-started
    one.

    attn_implementation: transformers' name of the attention that networks are computed with; null is sdpa where the
    kind of model has it.
    """

    model: str | None
    revision: str | None = None
    attn_implementation: str | None = None
    warm_start: WarmStart

    @property
    def fetched(self) -> str | None:
        """The folder that a model of the hub is put in; None where there is none to fetch."""
        return f"results/base/{self.model.replace('/', '--')}" if self.model and self.revision else None

    @property
    def converted(self) -> str | None:
        """The folder that a GGUF file is written to; None where there is none."""
        gguf = self.model is not None and self.revision is None and self.model.endswith(".gguf")
        return f"results/base/{Path(self.model or '').stem}" if gguf else None

    @property
    def local(self) -> str | None:
        """The model folder on this machine that needs no network: a GGUF file's, or the one that is given."""
        return self.converted or (None if self.revision else self.model)

    @model_validator(mode="after")
    def _named_as_on_the_hub(self) -> Base:
        if self.revision and not HUB.match(self.model or ""):
            raise ValueError(f"revision: goes with a model of the hub, owner/name, not {self.model!r}; set it to null")
        return self


class SamplingParams(Section):
    """How completions are drawn.

    engine: what draws them. kv_cache_gb: memory of vLLM's cache, in GiB; null is half of what
    is free on a GPU, and 1 on a CPU. enforce_eager: vLLM without CUDA graphs and
    compilation; null is so on a CPU alone. tensor_parallel: of the processes that train together, so many share one
    vLLM. max_logprob_gap: a run stops when the log-probabilities of sampler and trainer differ by more; see gap_limits.
    """

    temperature: float = Field(ge=0)
    max_new_tokens: PositiveInt
    engine: Literal["torch", "vllm"] = "torch"
    kv_cache_gb: float | None = Field(default=None, gt=0)
    enforce_eager: bool | None = None
    tensor_parallel: PositiveInt = 1
    max_logprob_gap: float | None = Field(default=None, gt=0)

    def gap_limits(self, dtype: str) -> tuple[float, float]:
        """The most nats that sampler and trainer may differ by, in the mean over tokens and in the 95 % quantile.

        The quantile's is max_logprob_gap, or what a sound engine stays well below (docs/vllm.md); the mean's a fifth.
        """
        high = self.max_logprob_gap or {"float32": 0.001, "bfloat16": 0.5}[dtype]
        return high / 5, high


class Ratio(Section):
    """The comparison with reuse off and on and selection off and on.

    panels: shown name -> pools that repeat one experiment with other starting policies and draws. control,
    control_reuse: the methods that draw prompts blindly, what selectors without and with reuse are measured against.
    drawn: the methods of the figure; the tables have all.
    """

    panels: dict[str, Annotated[list[str], Field(min_length=1)]] = Field(default_factory=dict)
    control: str = "random_one"
    control_reuse: str = "random_one_reuse"
    drawn: list[str] = Field(default_factory=list)


class Tune(Section):
    """The learning-rate search on validation questions; never run with the experiment itself. pools: none is all."""

    methods: list[str]
    learning_rates: list[Annotated[float, Field(gt=0)]]
    seeds: list[int]
    pools: list[str] = Field(default_factory=list)


def distinct(values: list[int]) -> list[int]:
    """Refuse repeated values."""
    if len(set(values)) < len(values):
        raise ValueError(f"{values} repeats a value")
    return values


class Config(Section):
    """The whole experiment."""

    ablation: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")] | None = None
    seeds: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), AfterValidator(distinct)]
    pools: Annotated[list[str], Field(min_length=1)]
    methods: Annotated[list[str], Field(min_length=1)]
    seeds_per_job: PositiveInt
    data: Data
    prompt: PromptStyle = PromptStyle()
    base: Base
    hardware: Hardware = Hardware()
    rollout: SamplingParams
    verify: Verify
    checkpoint_every: PositiveInt
    on_code_change: Literal["restart", "stop", "continue"] | None = None
    profile: str
    recipes: dict[str, Recipe]
    complexity: Complexity
    evaluate: Evaluate
    published: bool = True
    ratio: Ratio = Ratio()
    tune: Tune

    @model_validator(mode="before")
    @classmethod
    def _recipe_defaults(cls, raw: dict[str, Any]) -> dict[str, Any]:
        """`train` holds what every recipe has unless it, or the recipe it is like, says otherwise."""
        raw = dict(raw)
        defaults = raw.pop("train", None) or {}
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
        for key, names, known in (
            ("methods", self.methods, recipes),
            ("profile", [self.profile], recipes),
            ("complexity.recipe", [self.complexity.recipe], recipes),
            ("evaluate.reference", [self.reference], self.methods),
            ("tune.methods", self.tune.methods, recipes),
            ("pools", self.pools, pools),
            ("complexity.pools", self.complexity.pools, self.pools),
            ("ratio.panels", [pool for members in self.ratio.panels.values() for pool in members], self.pools),
            ("tune.pools", self.tune.pools, self.pools),
            ("ratio.drawn", self.ratio.drawn, self.methods),
        ):
            for name in names:
                if name not in known:
                    raise ValueError(f"{key}: {name!r} is not defined{suggestion(name, known)}")
        self.evaluate.by_benchmark(self.evaluated)
        self.evaluate.functions(self.evaluated)
        self._fits_in_the_pools()
        for name, recipe in self.recipes.items():
            buffer, limit = recipe.loss.overlong_buffer, self.rollout.max_new_tokens
            if buffer > limit:
                raise ValueError(
                    f"recipes.{name}.loss.overlong_buffer: {buffer} is more than the {limit} tokens there are"
                )
        return self

    @property
    def evaluated(self) -> list[str]:
        """What questions are evaluated by: the benchmarks, and the source of validation questions."""
        validation = [self.data.validation.source] if self.data.validation else []
        return [*self.data.group_of, *validation]

    @property
    def reference(self) -> str:
        """The method that savings are measured against."""
        return self.evaluate.reference or self.methods[0]

    def control_of(self, method: str) -> str:
        """Return the method that a method is compared with in `ratio`: the same with random prompts."""
        return self.ratio.control_reuse if self.recipes[method].reuse else self.ratio.control

    @property
    def evaluated_rollouts(self) -> list[int]:
        """After how many training rollouts checkpoints are evaluated, for all methods; each run's last one is, too."""
        most = max(recipe.steps * recipe.rollouts_per_step for recipe in map(self.recipes.__getitem__, self.methods))
        return self.evaluate.rollouts or sorted({-(-most // parts) for parts in (1, 2, 4, 8, 16)})

    @property
    def code_policy(self) -> Literal["restart", "stop", "continue"]:
        """What happens to work that other code did; the small policy's, which costs minutes, is done again."""
        return self.on_code_change or ("stop" if self.base.model else "restart")

    @property
    def evaluation_tokens(self) -> int:
        """Most new tokens of a completion that is evaluated."""
        return self.evaluate.max_new_tokens or self.rollout.max_new_tokens

    def base_of(self, pool: str) -> str:
        """Where the starting policy of a pool lies: the given model, or the warm-started one of the pool's seed."""
        seed = self.data.pools[pool].base_seed
        warm = f"results/base/{self.base.warm_start.seed if seed is None else seed}"
        return self.base.fetched or self.base.local or warm

    def _fits_in_the_pools(self) -> None:
        sizes_known = [size for name in self.pools if (size := self.data.pools[name].size)]
        smallest = min(sizes_known, default=sys.maxsize)  # of the others, the data job says
        ladder = self.complexity.methods if self.complexity.pools else {}
        wanted = max((count for count in ladder if count != "all"), default=0)
        if wanted > smallest:
            raise ValueError(f"complexity.methods: {wanted} is more than the {smallest} prompts of the smallest pool")
        used = {*self.methods, *ladder.values(), *([self.complexity.recipe] if ladder else [])}
        for name, recipe in self.recipes.items():
            if name not in used:
                continue
            sizes = {f"options.{key}": recipe.options.get(key) for key in ("candidates", "top")}
            for key, size in {"prompts_per_step": recipe.prompts_per_step, **sizes}.items():
                if isinstance(size, int) and size > smallest:
                    raise ValueError(
                        f"recipes.{name}.{key}: {size} is more than the {smallest} prompts of the smallest pool"
                    )

    @classmethod
    def parse(cls, raw: dict[str, Any], files: ConfigFiles | None = None) -> Config:
        """The checked configuration.

        Args:
            files: the files it was merged from; None is config.yaml alone.

        Raises:
            ConfigError: one line naming the file, the key, the value, and what to change.
        """
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            problems = [_explain(problem) for problem in error.errors()]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError((files or ConfigFiles({BASE: raw})).named(f"{problems[0]}{more}"))


def _explain(problem: Any) -> str:
    """A pydantic error as `key: value is wrong; fix`."""
    path = ".".join(str(part) for part in problem["loc"])
    if problem["type"] == "extra_forbidden":
        *parents, name = problem["loc"]
        return f"{path}: unknown key{suggestion(str(name), _known_keys(parents))}"
    if problem["type"] == "missing":
        return f"{path}: missing; add it"
    message = problem["msg"].removeprefix("Value error, ")
    if not path or problem["type"] == "value_error":
        return f"{path}: {message}" if path else message
    return f"{path}: {problem['input']!r} is refused: {message[0].lower()}{message[1:]}"


def _known_keys(path: list[Any]) -> list[str]:
    """The keys a section at `path` takes."""
    model: Any = Config
    for part in path:
        if isinstance(model, type) and issubclass(model, Section):
            model = model.model_fields[str(part)].annotation
        else:  # the values of a dict
            model = typing.get_args(model)[-1]
        for choice in typing.get_args(model):
            if isinstance(choice, type) and issubclass(choice, Section) and typing.get_origin(model) is not dict:
                model = choice
    added = {Config: ["train"], Recipe: ["like"]}  # keys that parsing replaces
    return [*model.model_fields, *added.get(model, [])]
