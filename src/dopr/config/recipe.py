"""A recipe: one training method, as the configuration describes it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from dopr.config.section import PositiveInt, Section, Share


class Reuse(Section):
    """Replay of recent informative groups beside the new one (not in the DoPR paper's abstract)."""

    groups: PositiveInt
    window: PositiveInt
    updates: PositiveInt = 1
    positive_only: bool = True


class Reward(Section):
    """What a rollout is rewarded for (dopr.grading.rewards), and the keys of each kind; a key of another kind is
    refused."""

    kind: Literal["verdict", "format", "random", "wrong_label", "noisy", "judge", "function"] = "verdict"
    probability: Share = 0.5
    share: Share = 1.0
    label: str | None = None
    partial: Share = 0.3
    spread: float = Field(default=0.2, ge=0)
    function: str | None = None

    @model_validator(mode="after")
    def _keys_of_its_kind(self) -> Reward:
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
    """What an update minimises: policy gradient + kl * KL - entropy * entropy, each averaged as the variant says.

    variant, clip_low, clip_high: see dopr.training.loss. policy_gradient: false leaves that term out, and rewards are
    then of no account. advantage_scale: what advantages are divided by, the standard deviation of the group or of the
    batch, or nothing; null is the variant's own, nothing for dr_grpo and the group's for the others. mask_truncated:
    completions cut at the token limit take no part. overlong_buffer: tokens before the limit over which a reward
    falls by up to 1 (see dopr.training.advantages); 0 is no fall.
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
    """PPO's value function, in place of the group's mean as the baseline (see dopr.training.critic).

    discount, gae_lambda: of generalised advantage estimation. clip: how far a value may move from its estimate at the
    beginning of the step before its loss stops falling.
    """

    learning_rate: float = Field(gt=0)
    discount: Share = 1.0
    gae_lambda: Share = 1.0
    clip: float = Field(default=0.5, gt=0)


class Lora(Section):
    """Low-rank adapters in place of training every weight (see dopr.models.lora).

    targets: names of linear layers that get one, or all but the output head.
    """

    rank: PositiveInt
    alpha: PositiveInt
    targets: Annotated[list[str], Field(min_length=1)] | Literal["all-linear"] = "all-linear"


class Recipe(Section):
    """One training method: which prompts get rollouts, and how the policy is updated on them.

    epochs: passes over a step's rollouts. minibatches: updates a pass. micro_batch_tokens: padded tokens that an update
    computes at a time; null is all of them. gradient_checkpointing: each layer is computed again for its gradient and
    not kept. dtype: of the network's weights; the optimiser keeps them in float32 in either case, with
    offload_optimizer in the processor's memory.
    """

    selector: str
    options: dict[str, Any] = Field(default_factory=dict)
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
    micro_batch_tokens: PositiveInt | None = None
    gradient_checkpointing: bool = False
    offload_optimizer: bool = False
    dtype: Literal["float32", "bfloat16"] = "float32"
    lora: Lora | None = None
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
