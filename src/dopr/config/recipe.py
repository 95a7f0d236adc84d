"""The configuration of a recipe, which is one training method."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from dopr.config.section import PositiveInt, Section, Share


class Reuse(Section):
    """Replay of recent informative groups in later updates (not in the DoPR paper's abstract)."""

    groups: PositiveInt
    """Groups from the replay buffer that are added to each pass over a step's rollouts."""
    window: PositiveInt
    """Size of the replay buffer: the last informative groups."""
    updates: PositiveInt = 1
    """Passes in each step, times `epochs`. Each pass draws replayed groups anew."""
    positive_only: bool = True
    """Replay only rollouts with a positive advantage."""


class Reward(Section):
    """What a rollout is rewarded for (dopr.grading.rewards). A key that the kind does not read raises an error."""

    kind: Literal["verdict", "format", "random", "wrong_label", "noisy", "judge", "function"] = "verdict"
    """The reward function. All but `verdict` and `function` are controls."""
    probability: Share = 0.5
    """random: the probability of reward 1. noisy: the probability that the reward is flipped."""
    share: Share = 1.0
    """wrong_label: the share of the pool's prompts that get a wrong reference answer."""
    label: str | None = None
    """wrong_label: the wrong answer. null takes another prompt's answer."""
    partial: Share = 0.3
    r"""judge: the mean score of a wrong answer in \boxed{}."""
    spread: float = Field(default=0.2, ge=0)
    """judge: the standard deviation of the score's noise."""
    function: str | None = None
    """function: your own reward function, FILE.py:NAME or MODULE:NAME."""

    @model_validator(mode="after")
    def _check_keys_of_kind(self) -> Reward:
        keys: dict[str, set[str]] = {
            "random": {"probability"},
            "noisy": {"probability"},
            "wrong_label": {"share", "label"},
            "judge": {"partial", "spread"},
            "function": {"function"},
        }
        if self.kind == "function" and not self.function:
            raise ValueError("function: missing; give FILE.py:NAME or MODULE:NAME")
        for name, field in Reward.model_fields.items():
            if name != "kind" and name not in keys.get(self.kind, set()) and getattr(self, name) != field.default:
                readers = [kind for kind, names in keys.items() if name in names]
                raise ValueError(f"{name}: kind {self.kind} does not read it; remove it, or use {' or '.join(readers)}")
        return self


class Loss(Section):
    """The loss of an update: policy gradient + kl * KL - entropy * entropy. `variant` says how tokens are averaged."""

    variant: Literal["grpo", "dr_grpo", "dapo", "bnpo", "cispo", "gspo", "rft"]
    """The policy-gradient term and the average over tokens. dopr.training.loss lists the variants."""
    policy_gradient: bool = True
    """false leaves the policy-gradient term out. Rewards then have no effect."""
    clip_low: float = Field(gt=0, lt=1)
    """The probability ratio is clipped below 1 - clip_low."""
    clip_high: float = Field(gt=0)
    """The probability ratio is clipped above 1 + clip_high."""
    kl: float = Field(default=0.0, ge=0)
    """Coefficient of the KL divergence from the starting policy."""
    entropy: float = Field(default=0.0, ge=0)
    """Coefficient of the entropy bonus."""
    advantage_scale: Literal["group", "batch", "none"] | None = None
    """Divide advantages by the reward std of the group or of the batch, or not at all.

    null is the variant's own: none for dr_grpo, group for the others.
    """
    advantage_epsilon: float = Field(gt=0)
    """Added to the standard deviation that advantages are divided by."""
    mask_truncated: bool = False
    """Leave completions that reach the token limit out of the loss."""
    overlong_buffer: int = Field(default=0, ge=0)
    """Number of tokens before the token limit over which the reward falls by up to 1, as in DAPO. 0 turns it off."""

    @property
    def regularised(self) -> bool:
        """Whether a term that needs no reward, KL or entropy, is on."""
        return self.kl > 0 or self.entropy > 0

    @property
    def scale(self) -> Literal["group", "batch", "none"]:
        """`advantage_scale`, or the variant's own where it is null."""
        return self.advantage_scale or ("none" if self.variant == "dr_grpo" else "group")

    @model_validator(mode="after")
    def _check_terms(self) -> Loss:
        if not self.policy_gradient and not self.regularised:
            raise ValueError("every term is off; set policy_gradient, kl or entropy")
        return self


class Critic(Section):
    """PPO's value function. It replaces the group mean as the baseline (dopr.training.critic)."""

    learning_rate: float = Field(gt=0)
    """Learning rate of the value function."""
    discount: Share = 1.0
    """Discount factor, gamma, of generalised advantage estimation."""
    gae_lambda: Share = 1.0
    """Lambda of generalised advantage estimation."""
    clip: float = Field(default=0.5, gt=0)
    """How far a value may move from its estimate at the beginning of the step until its loss is clipped."""


class Lora(Section):
    """Low-rank adapters that are trained in place of the weights (dopr.models.lora)."""

    rank: PositiveInt
    """Rank of the adapters."""
    alpha: PositiveInt
    """The adapters' output is scaled by alpha / rank."""
    targets: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = "all-linear"
    """Names of the linear layers that get an adapter, or all of them but the output head."""


class Recipe(Section):
    """One training method: which prompts get rollouts, and how the policy is updated on them."""

    replaced_keys: ClassVar[tuple[str, ...]] = ("like",)
    selector: str
    """The method that selects prompts: a module of dopr.selection, FILE.py:NAME, MODULE:NAME, or an entry point of the
    group `dopr.selectors`."""
    options: dict[str, Any] = Field(default_factory=dict)
    """Options of the selector."""
    prompts_per_step: PositiveInt = 1
    """Prompts in each step."""
    group_size: Annotated[int, Field(ge=2)]
    """Rollouts of each prompt."""
    steps: PositiveInt
    """Training steps."""
    learning_rate: float = Field(gt=0)
    """Learning rate of the policy after the warmup."""
    warmup_steps: int = Field(ge=0)
    """Steps over which the learning rate rises linearly."""
    final_rate: Share = 1.0
    """The learning rate falls linearly to this share of itself at the last step."""
    betas: tuple[Share, Share]
    """AdamW's coefficients of the running averages."""
    weight_decay: float = Field(ge=0)
    """AdamW's weight decay."""
    max_grad_norm: float = Field(gt=0)
    """The gradient is clipped to this norm."""
    loss: Loss
    """The loss of an update."""
    epochs: PositiveInt = 1
    """Passes over the rollouts of a step."""
    minibatches: PositiveInt = 1
    """Updates in each pass."""
    micro_batch_tokens: PositiveInt | None = None
    """Padded tokens that are computed at a time in an update. null is all of them."""
    gradient_checkpointing: bool = False
    """Recompute the activations of each layer in the backward pass to save memory. Gradients are the same."""
    offload_optimizer: bool = False
    """Keep the optimiser's weights and averages in the CPU's memory."""
    dtype: Literal["float32", "bfloat16"] = "float32"
    """Type of the network's weights. The optimiser's copy is float32 in either case."""
    lora: Lora | None = None
    """Train low-rank adapters. null trains all weights."""
    critic: Critic | None = None
    """Use PPO's value function as the baseline. null uses the group mean."""
    reuse: Reuse | None = None
    """Replay earlier rollouts. null does not."""
    reward: Reward = Reward()
    """What a rollout is rewarded for."""

    @property
    def rollouts_per_step(self) -> int:
        """Completions that are generated in each step."""
        return self.prompts_per_step * self.group_size

    @model_validator(mode="after")
    def _check_minibatches_and_critic(self) -> Recipe:
        if self.minibatches > self.rollouts_per_step:
            raise ValueError(
                f"minibatches: {self.minibatches} is more than the {self.rollouts_per_step} rollouts a step"
            )
        if self.critic and self.loss.variant in ("gspo", "rft"):
            raise ValueError(f"loss.variant: {self.loss.variant} has no use for a critic; leave critic out")
        return self
