"""The interface of prompt selectors, and their registry by name.

A selector decides which prompts a training step spends rollouts on. It sees prompt ids and rewards, never texts, models
or graders. Its random numbers depend on (seed, step) alone: the same seed and the same observations give the same
choices, and a checkpoint needs no random state.

To add a selector, write a dataclass. A recipe names it as FILE.py:NAME or MODULE:NAME. It may also be the dataclass
`Selector` of a module: `dopr/selection/NAME.py`, or one that an installed package names in an entry point of the group
`dopr.selectors`. The fields of the dataclass after `setup` are the options that a recipe can set.

- A selector that chooses before any rollout inherits BaseSelector and defines `select` and `observe`.
- One that first screens prompts with a few rollouts defines `request` and `decide` itself.

The number of rollouts of a step must not depend on rewards, so that the learning curves of all seeds share one axis.
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
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import ConfigDict, TypeAdapter, ValidationError

from dopr.errors import RewardError, UserError, suggestion
from dopr.plugins import load_callable

ENTRY_POINTS = "dopr.selectors"
FINITE = ConfigDict(allow_inf_nan=False)
Features = NDArray[np.float32]


def no_features(kind: str) -> Features:
    """Raise: the default of `Setup.features`, for a simulation, which has neither texts nor a policy.

    Raises:
        ValueError: Always.
    """
    raise ValueError(f"similarity {kind!r} needs the texts of the prompts or the policy, and a simulation has neither")


@dataclass(frozen=True)
class Setup:
    """What a selector may use to choose prompts. A visit of a prompt is one group of rollouts.

    Args:
        pool: The prompt ids, in file order.
        seed: The seed of the run.
        count: Prompts to choose at each step.
        group_size: Rollouts of each chosen prompt.
        history: Prompt id -> accuracy of each visit in the profiling run, in file order; empty without a profiling run.
        features: Kind of features (dopr.training.prompt_features) -> unit vectors [prompts, dimensions], in the order
            of `pool`.
    """

    pool: tuple[str, ...]
    seed: int
    count: int
    group_size: int = 8
    history: dict[str, tuple[float, ...]] = field(default_factory=dict)
    features: Callable[[str], Features] = no_features


@dataclass(frozen=True, eq=False)
class GroupResult:
    """The rewards of a group of rollouts of one prompt.

    Groups are compared by identity, because two groups of one prompt may have the same rewards.

    Args:
        prompt: The id of the prompt.
        rewards: One reward for each rollout.
        entropy: The mean of -log p over the sampled tokens, in nats.

    Raises:
        RewardError: If there are no rewards, or one is not a finite number.
    """

    prompt: str
    rewards: tuple[float, ...]
    entropy: float = float("nan")

    def __post_init__(self) -> None:
        if not self.rewards or not all(map(math.isfinite, self.rewards)):
            raise RewardError(f"prompt {self.prompt}: rewards {self.rewards} are not all finite numbers")

    @property
    def informative(self) -> bool:
        """Return whether the rewards differ. If they do not, all advantages and the gradient are zero."""
        return len(set(self.rewards)) > 1


@dataclass(frozen=True)
class RolloutRequest:
    """A request for rollouts of a prompt: a new group, or more rollouts for a held `group`."""

    prompt: str
    rollouts: int
    group: GroupResult | None = None


@dataclass(frozen=True)
class GroupDecision:
    """The groups to train on at this step, and those to hold for the next one; all others are discarded."""

    train: tuple[GroupResult, ...]
    hold: tuple[GroupResult, ...] = ()


class PromptSelector(Protocol):
    """The interface that training calls: `request`, then `observe` for each group, then `decide`, at every step."""

    def request(self, step: int, held: Sequence[GroupResult]) -> list[RolloutRequest]:
        """Return the rollouts to generate at this step.

        Args:
            step: The step, counted from 0.
            held: The groups that `decide` held at the step before.
        """

    def observe(self, step: int, group: GroupResult) -> None:
        """Learn from the new rollouts of one group."""

    def decide(self, step: int, groups: Sequence[GroupResult]) -> GroupDecision:
        """Return which groups to train on and which to hold.

        Args:
            step: The step, counted from 0.
            groups: The held groups with their requested rollouts added, then the new groups.
        """

    def state_dict(self) -> dict[str, Any]:
        """Return what was learned, as values that JSON can store."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what state_dict returned."""

    def metrics(self) -> dict[str, float]:
        """Return numbers to log about the last choice, under the same names at every step."""


class SelectorError(UserError):
    """A request of a selector that cannot be met; the message names the selector and the request."""


class BaseSelector:
    """Base class of selectors that choose before any rollout. Subclasses define `select`, `observe` and the state."""

    setup: Setup

    def select(self, step: int) -> list[str]:
        """Return `count` prompt ids. A repeated id gives one more group of that prompt."""
        raise TypeError(f"{type(self).__module__} defines neither select nor request")

    def request(self, step: int, held: Sequence[GroupResult]) -> list[RolloutRequest]:
        """Request a complete group for each selected prompt.

        Raises:
            SelectorError: `select` returned something other than a list.
        """
        selected = self.select(step)
        if not isinstance(selected, Sequence):
            raise SelectorError(f"{type(self).__name__}.select returned {selected!r}; it must return a list of prompts")
        return [RolloutRequest(prompt, self.setup.group_size) for prompt in selected]

    def decide(self, step: int, groups: Sequence[GroupResult]) -> GroupDecision:
        """Train on all groups."""
        return GroupDecision(tuple(groups))

    def metrics(self) -> dict[str, float]:
        """Return no metrics."""
        return {}


class StatelessSelector(BaseSelector):
    """Base class of selectors that do not learn from rewards. Subclasses define `select`."""

    def observe(self, step: int, group: GroupResult) -> None:
        """Ignore the rewards."""

    def state_dict(self) -> dict[str, Any]:
        """Return an empty state."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Ignore the state, which is empty."""


def built_in() -> list[str]:
    """Return the names of the selectors that come with dopr."""
    package = importlib.import_module("dopr.selection")
    modules = pkgutil.iter_modules(package.__path__)
    return sorted(module.name for module in modules if module.name != "selector" and not module.ispkg)


def module_of(name: str) -> str:
    """Return the module that defines a selector; of FILE.py:NAME, the file.

    Selectors are imported by name, so that the code hash of one does not depend on the others.

    Raises:
        ValueError: If there is no selector of that name.
    """
    if ":" in name:
        return name.rpartition(":")[0]
    module = f"dopr.selection.{name}"
    if name in built_in():
        return module
    plugins = {point.name: point.value for point in entry_points(group=ENTRY_POINTS)}
    if name not in plugins:
        raise ValueError(
            f"selector {name!r} does not exist: it is neither src/dopr/selection/{name}.py, nor an entry point of the "
            f"group {ENTRY_POINTS}, nor FILE.py:NAME{suggestion(name, built_in())}"
        )
    return plugins[name]


def class_of(name: str) -> type[Any]:
    """Return the dataclass of a selector.

    Raises:
        ValueError: If there is no such selector, or it is no dataclass whose first field is `setup`.
    """
    module = module_of(name)
    try:
        found: Any = load_callable(name if ":" in name else f"{module}:Selector")
    except UserError as error:
        raise ValueError(f"selector {error}") from None
    fields = [f.name for f in dataclasses.fields(found)] if dataclasses.is_dataclass(found) else []
    if fields[:1] != ["setup"]:
        raise ValueError(f"selector {name!r} is no dataclass whose first field is `setup`")
    return cast("type[Any]", found)


def make_selector(name: str, setup: Setup, options: dict[str, Any]) -> PromptSelector:
    """Build the selector that a recipe names, with its options."""
    selector: PromptSelector = class_of(name)(setup, **check_options(name, options))
    return selector


def uses_history(name: str, options: dict[str, Any]) -> bool:
    """Return whether a selector with these options reads the profiling history; if so, it pays for those rollouts.

    A selector that can read it has the class attribute `history_option`: the name of the option that turns this off
    when it is zero, or "" if the history is always read.
    """
    selector = class_of(name)
    option: str | None = getattr(selector, "history_option", None)
    if option is None:
        return False
    return option == "" or bool(options.get(option, getattr(selector, option)))


def check_options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Check the names, types and ranges of options against the dataclass fields of the selector.

    Returns:
        The options with values of the fields' types: YAML reads 5e-1 as text. A whole number for a float stays one, so
        that runs that were made with it are not made again.

    Raises:
        ValueError: If an option is unknown (the message suggests a known one) or its value is not allowed. The message
            is `options.NAME: PROBLEM`.
    """
    selector = class_of(name)
    types = typing.get_type_hints(selector, include_extras=True)
    known = [f.name for f in dataclasses.fields(selector) if f.init and f.name != "setup"]
    checked: dict[str, Any] = {}
    for option, value in options.items():
        if option not in known:
            raise ValueError(f"options.{option}: selector {name} has no option {option!r}{suggestion(option, known)}")
        try:
            converted = TypeAdapter(types[option], config=FINITE).validate_python(value)
        except ValidationError as error:
            message = error.errors()[0]["msg"]
            raise ValueError(f"options.{option}: {value!r} is refused: {message[0].lower()}{message[1:]}") from None
        if isinstance(value, bool) and not isinstance(converted, bool):
            raise ValueError(f"options.{option}: {str(value).lower()} is refused: it is no number; give one")
        checked[option] = value if isinstance(converted, float) and converted == value else converted
    return checked
