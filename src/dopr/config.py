"""The experiment's configuration: typed, range-checked, and strict about unknown keys.

`Config.parse` takes the mapping read from config.yaml (with any overlay merged in) and either returns a frozen
object or raises ConfigError with one line that names the key, the value and the fix.
"""

from __future__ import annotations

import typing
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from dopr.errors import UserError, suggestion
from dopr.inheritance import inherit, merge

PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]
Weights = dict[str, Annotated[float, Field(gt=0)]]


class ConfigError(UserError):
    """A configuration that cannot be run; the message is one line for the user."""


class Section(BaseModel):
    """A part of the configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Pool(Section):
    """A prompt pool: `size` prompts, of which a share can never earn a reward.

    base_seed: seed of the warm-started policy that is trained on it; null is base.warm_start.seed.
    """

    size: PositiveInt
    zero_signal: Share
    families: Annotated[Weights, Field(min_length=1)]
    zero_signal_family: str = "big1"
    base_seed: int | None = None


class Data(Section):
    """Benchmarks by group, questions a benchmark, and the pools."""

    seed: int
    benchmarks: dict[str, list[str]]
    questions: PositiveInt
    validation_questions: PositiveInt
    pools: dict[str, Pool]

    @property
    def group_of(self) -> dict[str, str]:
        """Benchmark name -> group name."""
        return {name: group for group, names in self.benchmarks.items() for name in names}


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
    """The starting policy: a local folder in the Hugging Face layout, or, when null, the warm-started one."""

    model: str | None
    warm_start: WarmStart


class Sampling(Section):
    """How completions are drawn."""

    temperature: float = Field(ge=0)
    max_new_tokens: PositiveInt


class Verify(Section):
    """Limits of the grader: seconds an answer, memory a worker, and the share of errors that stops a run."""

    seconds: float = Field(gt=0)
    memory_mb: PositiveInt
    max_error_share: Share


class Reuse(Section):
    """Replay of recent informative groups beside the new one (not in the DoPR paper's abstract)."""

    groups: PositiveInt
    window: PositiveInt
    updates: PositiveInt = 1
    positive_only: bool = True


class Reward(Section):
    """What a rollout is rewarded for (dopr.rewards), and the keys of each kind; a key of another kind is refused."""

    kind: Literal["verdict", "format", "random", "wrong_label", "noisy", "judge"] = "verdict"
    probability: Share = 0.5
    share: Share = 1.0
    label: str | None = None
    partial: Share = 0.3
    spread: float = Field(default=0.2, ge=0)

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> Reward:
        keys: dict[str, set[str]] = {
            "random": {"probability"},
            "noisy": {"probability"},
            "wrong_label": {"share", "label"},
            "judge": {"partial", "spread"},
        }
        for name, field in Reward.model_fields.items():
            if name != "kind" and name not in keys.get(self.kind, set()) and getattr(self, name) != field.default:
                readers = [kind for kind, names in keys.items() if name in names]
                raise ValueError(f"{name}: kind {self.kind} does not read it; remove it, or use {' or '.join(readers)}")
        return self


class Loss(Section):
    """What an update minimises: policy gradient + kl * KL - entropy * entropy, each averaged as the variant says.

    variant, clip_low, clip_high: see dopr.policy.loss. policy_gradient: false leaves that term out, and rewards are
    then of no account. advantage_scale: what advantages are divided by, the standard deviation of the group or of the
    batch, or nothing; null is the variant's own, nothing for dr_grpo and the group's for the others. mask_truncated:
    completions cut at the token limit take no part. overlong_buffer: tokens before the limit over which a reward
    falls by up to 1 (see dopr.policy.advantages); 0 is no fall.
    """

    variant: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "gspo", "rft"]
    policy_gradient: bool = True
    clip_low: float = Field(gt=0, lt=1)
    clip_high: float = Field(gt=0)
    kl: float = Field(default=0.0, ge=0)
    entropy: float = Field(default=0.0, ge=0)
    advantage_scale: Literal["group", "batch", "none"] | None = None
    advantage_epsilon: float = Field(gt=0)
    mask_truncated: bool = False
    overlong_buffer: int = Field(default=0, ge=0)

    @property
    def regularised(self) -> bool:
        """Whether a term is on that needs no reward."""
        return self.kl > 0 or self.entropy > 0

    @property
    def scale(self) -> Literal["group", "batch", "none"]:
        """advantage_scale, or the variant's own."""
        return self.advantage_scale or ("none" if self.variant == "dr_grpo" else "group")

    @model_validator(mode="after")
    def _something_to_minimise(self) -> Loss:
        if not self.policy_gradient and not self.regularised:
            raise ValueError("every term is off; set policy_gradient, kl or entropy")
        return self


class Critic(Section):
    """PPO's value function, in place of the group's mean as the baseline (see dopr.policy.critic).

    discount, gae_lambda: of generalised advantage estimation. clip: how far a value may move from its estimate at the
    beginning of the step before its loss stops falling.
    """

    learning_rate: float = Field(gt=0)
    discount: Share = 1.0
    gae_lambda: Share = 1.0
    clip: float = Field(default=0.5, gt=0)


class Recipe(Section):
    """One training method: which prompts get rollouts, and how the policy is updated on them.

    epochs: passes over a step's rollouts. minibatches: updates a pass. dtype: of the network's weights; the optimiser
    keeps them in float32 in either case.
    """

    selector: str
    options: dict[str, Any] = {}
    prompts_per_step: PositiveInt = 1
    group_size: Annotated[int, Field(ge=2)]
    steps: PositiveInt
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(ge=0)
    final_rate: Share = 1.0  # the learning rate falls linearly to this share of itself at the last step
    betas: tuple[Share, Share]
    weight_decay: float = Field(ge=0)
    max_grad_norm: float = Field(gt=0)
    loss: Loss
    epochs: PositiveInt = 1
    minibatches: PositiveInt = 1
    dtype: Literal["float32", "bfloat16"] = "float32"
    critic: Critic | None = None
    reuse: Reuse | None = None
    reward: Reward = Reward()

    @property
    def rollouts_per_step(self) -> int:
        """Completions generated in each step."""
        return self.prompts_per_step * self.group_size

    @model_validator(mode="after")
    def _fits_together(self) -> Recipe:
        if self.minibatches > self.rollouts_per_step:
            raise ValueError(
                f"minibatches: {self.minibatches} is more than the {self.rollouts_per_step} rollouts a step"
            )
        if self.critic and self.loss.variant in ("gspo", "rft"):
            raise ValueError(f"loss.variant: {self.loss.variant} has no use for a critic; leave critic out")
        return self


class Complexity(Section):
    """Sample complexity: how many prompts -> the method that trains on them. `recipe` is what `top_N` is made from."""

    pools: list[str]
    recipe: str
    methods: dict[PositiveInt | Literal["all"], str]
    confidence: Share


class Ratio(Section):
    """The comparison with reuse off and on and selection off and on.

    panels: shown name -> pools that repeat one experiment with other starting policies and draws. control,
    control_reuse: the methods that draw prompts blindly, what selectors without and with reuse are measured against.
    drawn: the methods of the figure; the tables have all.
    """

    panels: dict[str, Annotated[list[str], Field(min_length=1)]] = {}
    control: str = "random_one"
    control_reuse: str = "random_one_reuse"
    drawn: list[str] = []


class Evaluate(Section):
    """When and how checkpoints are evaluated. `rollouts` lists training rollouts, not steps: the same for all."""

    rollouts: list[PositiveInt]
    samples: PositiveInt
    temperature: float = Field(gt=0)
    pass_at: list[PositiveInt]
    targets: list[Share]
    reference: str
    bootstrap: PositiveInt

    @model_validator(mode="after")
    def _pass_at_fits(self) -> Evaluate:
        if max(self.pass_at, default=1) > self.samples:
            raise ValueError(f"pass_at {max(self.pass_at)} needs as many samples, but samples is {self.samples}")
        return self


class Tune(Section):
    """The learning-rate search on validation questions; never run with the experiment itself. pools: none is all."""

    methods: list[str]
    learning_rates: list[Annotated[float, Field(gt=0)]]
    seeds: list[int]
    pools: list[str] = []


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
    base: Base
    rollout: Sampling
    verify: Verify
    checkpoint_every: PositiveInt
    profile: str
    recipes: dict[str, Recipe]
    complexity: Complexity
    evaluate: Evaluate
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
            ("evaluate.reference", [self.evaluate.reference], self.methods),
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
        self._fits_in_the_pools()
        for name, recipe in self.recipes.items():
            buffer, limit = recipe.loss.overlong_buffer, self.rollout.max_new_tokens
            if buffer > limit:
                raise ValueError(
                    f"recipes.{name}.loss.overlong_buffer: {buffer} is more than the {limit} tokens there are"
                )
        return self

    def base_of(self, pool: str) -> str:
        """Where the starting policy of a pool lies: the given model, or the warm-started one of the pool's seed."""
        seed = self.data.pools[pool].base_seed
        return self.base.model or f"results/base/{self.base.warm_start.seed if seed is None else seed}"

    def _fits_in_the_pools(self) -> None:
        smallest = min(self.data.pools[name].size for name in self.pools)
        wanted = max((count for count in self.complexity.methods if count != "all"), default=0)
        if wanted > smallest:
            raise ValueError(f"complexity.methods: {wanted} is more than the {smallest} prompts of the smallest pool")
        for name, recipe in self.recipes.items():
            sizes = {f"options.{key}": recipe.options.get(key) for key in ("candidates", "top")}
            for key, size in {"prompts_per_step": recipe.prompts_per_step, **sizes}.items():
                if isinstance(size, int) and size > smallest:
                    raise ValueError(
                        f"recipes.{name}.{key}: {size} is more than the {smallest} prompts of the smallest pool"
                    )

    @classmethod
    def parse(cls, raw: dict[str, Any], source: str = "config.yaml") -> Config:
        """The checked configuration.

        Raises:
            ConfigError: one line naming `source`, the key, the value, and what to change.
        """
        try:
            return cls.model_validate(raw)
        except ValidationError as error:
            problems = [_explain(problem) for problem in error.errors()]
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        raise ConfigError(f"{source}: {problems[0]}{more}")


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
