"""What a selector is, and how one is found by its name.

A selector decides which prompts a training step spends rollouts on. It knows prompt ids and rewards, never texts,
models or graders, and it draws its random numbers from (seed, step) alone: given the same seed and the same
observations it makes the same choices, and a resumed run needs no random state.

A new one is a module with a dataclass `Selector`: in this package as `dopr/selection/NAME.py`, or anywhere, named by an
entry point of the group `dopr.selectors`. Its fields beyond `setup` are the options a recipe may set. Most choose
before any rollout, and need `select` and `observe` alone (inherit BaseSelector). One that screens prompts with a few
rollouts first writes `request` and `decide` itself. What a step costs may not depend on rewards: then the curves of all
seeds line up.
"""

from __future__ import annotations

import dataclasses
import importlib
import math
import pkgutil
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from dopr.errors import RewardError, suggestion

ENTRY_POINTS = "dopr.selectors"
Features = NDArray[np.float32]


def no_features(kind: str) -> Features:
    """Stands where there are no prompts to describe, as in a replay.

    Raises:
        ValueError: always.
    """
    raise ValueError(f"similarity {kind!r} needs the prompts' texts or the policy, which are not at hand here")


@dataclass(frozen=True)
class Setup:
    """What every selector is given.

    pool: prompt ids in file order. seed: of the run. count: prompts to choose a step. group_size: rollouts of each.
    history: prompt id -> accuracy of each visit during profiling (empty where there was none), in file order.
    features: a kind (see dopr.training.prompt_features) -> unit vectors [prompts, dimensions] in the order of `pool`.
    """

    pool: tuple[str, ...]
    seed: int
    count: int
    group_size: int = 8
    history: dict[str, tuple[float, ...]] = field(default_factory=dict)
    features: Callable[[str], Features] = no_features


@dataclass(frozen=True, eq=False)
class GroupResult:
    """What a selector learns of a group of rollouts of one prompt.

    Two groups of one prompt may have the same rewards, so a group is equal to itself alone.

    Args:
        prompt: The prompt's id.
        rewards: One a rollout.
        entropy: The mean of -log p over the sampled tokens, in nats.

    Raises:
        RewardError: There are no rewards, or one is not a finite number.
    """

    prompt: str
    rewards: tuple[float, ...]
    entropy: float = float("nan")

    def __post_init__(self) -> None:
        if not self.rewards or not all(map(math.isfinite, self.rewards)):
            raise RewardError(f"prompt {self.prompt}: rewards {self.rewards} are not all finite numbers")

    @property
    def informative(self) -> bool:
        """Whether the rewards differ, so that there is a gradient."""
        return len(set(self.rewards)) > 1


@dataclass(frozen=True)
class RolloutRequest:
    """Rollouts wanted of a prompt: as a new group, or as more rollouts of a held `group`."""

    prompt: str
    rollouts: int
    group: GroupResult | None = None


@dataclass(frozen=True)
class GroupDecision:
    """The groups to train on now, and those to hold for the next step; the others are discarded."""

    train: tuple[GroupResult, ...]
    hold: tuple[GroupResult, ...] = ()


class PromptSelector(Protocol):
    """Chooses prompts, and learns from the rewards they earn."""

    def request(self, step: int, held: Sequence[GroupResult]) -> list[RolloutRequest]:
        """Choose the rollouts of this step (counted from 0); `held` are the groups that the last step held."""

    def observe(self, step: int, group: GroupResult) -> None:
        """Learn from the new rollouts of one group, as soon as they are graded."""

    def decide(self, step: int, groups: Sequence[GroupResult]) -> GroupDecision:
        """Say what happens to the groups at hand: the held ones, grown by what was requested, then the new ones."""

    def state_dict(self) -> dict[str, Any]:
        """All that was learned, as JSON."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""

    def metrics(self) -> dict[str, float]:
        """Numbers worth logging about the last choice."""


class BaseSelector:
    """The parts of the protocol that selectors which choose before any rollout share: they define `select`."""

    setup: Setup

    def select(self, step: int) -> list[str]:
        """`count` prompt ids for this step. A repeated id is a second group of its prompt."""
        raise TypeError(f"{type(self).__module__} defines neither select nor request")

    def request(self, step: int, held: Sequence[GroupResult]) -> list[RolloutRequest]:
        """Request a whole group for each selected prompt."""
        return [RolloutRequest(prompt, self.setup.group_size) for prompt in self.select(step)]

    def decide(self, step: int, groups: Sequence[GroupResult]) -> GroupDecision:
        """Train on all."""
        return GroupDecision(tuple(groups))

    def metrics(self) -> dict[str, float]:
        """Nothing to log."""
        return {}


class StatelessSelector(BaseSelector):
    """The parts of the protocol that a selector without memory shares with every other."""

    def observe(self, step: int, group: GroupResult) -> None:
        """Nothing is learned."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""


def built_in() -> list[str]:
    """Names of the selectors that come with dopr."""
    package = importlib.import_module("dopr.selection")
    found = pkgutil.iter_modules(package.__path__)
    return sorted(module.name for module in found if module.name != "selector" and not module.ispkg)


def module_of(name: str) -> str:
    """The module that defines a selector; imported by name, so that one selector's code never touches another's.

    Raises:
        ValueError: there is none of that name.
    """
    module = f"dopr.selection.{name}"
    if name in built_in():
        return module
    others = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    if name not in others:
        raise ValueError(
            f"selector {name!r} does not exist: no installed package names it in its entry points {ENTRY_POINTS}, and "
            f"there is no src/dopr/selection/{name}.py"
        )
    return others[name]


def make_selector(name: str, setup: Setup, options: dict[str, Any]) -> PromptSelector:
    """The selector of a recipe."""
    selector: PromptSelector = importlib.import_module(module_of(name)).Selector(setup, **options)
    return selector


def uses_history(name: str, options: dict[str, Any]) -> bool:
    """Whether a selector, with these options, reads the profile's history (so that its rollouts count for it).

    A selector that does has a class attribute `history_option`: the option whose zero turns that off, or "" if
    nothing does.
    """
    selector = importlib.import_module(module_of(name)).Selector
    option: str | None = getattr(selector, "history_option", None)
    if option is None:
        return False
    return option == "" or bool(options.get(option, getattr(selector, option)))


def check_options(name: str, options: dict[str, Any]) -> None:
    """Refuse options the selector does not take, by name, type and range (those of its dataclass fields).

    Raises:
        ValueError: naming the option, and the nearest known one or what is wrong with its value.
    """
    selector = importlib.import_module(module_of(name)).Selector
    types = typing.get_type_hints(selector, include_extras=True)
    known = [f.name for f in dataclasses.fields(selector) if f.init and f.name != "setup"]
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"selector {name} has no option {option!r}{suggestion(option, known)}")
        try:
            TypeAdapter(types[option]).validate_python(value)
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise ValueError(f"options.{option}: {value!r} is refused: {message[0].lower()}{message[1:]}") from None
