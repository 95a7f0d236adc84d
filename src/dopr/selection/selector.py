"""What a selector is, and how one is found by its name.

A selector decides which prompts a training step spends rollouts on. It knows prompt ids and rewards, never texts,
models or graders, and it draws its random numbers from (seed, step) alone: given the same seed and the same
observations it makes the same choices, and a resumed run needs no random state.

A new one is a module `dopr/selection/NAME.py` with a dataclass `Selector`. Its fields beyond `Setup` are the options
a recipe may set.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import typing
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import TypeAdapter, ValidationError

from dopr.config import suggestion


@dataclass(frozen=True)
class Setup:
    """What every selector is given.

    pool: prompt ids in file order. seed: of the run. count: prompts to choose a step.
    history: prompt id -> accuracy of each visit during profiling (empty where there was none), in file order.
    """

    pool: tuple[str, ...]
    seed: int
    count: int
    history: dict[str, tuple[float, ...]] = field(default_factory=dict)


class PromptSelector(Protocol):
    """Chooses prompts, and learns from the rewards they earn."""

    def select(self, step: int) -> list[str]:
        """`count` prompt ids for this step (counted from 0). A repeated id is a second group of its prompt."""

    def observe(self, step: int, prompt: str, rewards: Sequence[float]) -> None:
        """The rewards of one group, as soon as they are graded."""

    def state_dict(self) -> dict[str, Any]:
        """All that was learned, as JSON."""

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """The inverse of state_dict."""

    def metrics(self) -> dict[str, float]:
        """Numbers worth logging about the last choice."""


class Memoryless:
    """The parts of the protocol that a selector without memory shares with every other."""

    def observe(self, step: int, prompt: str, rewards: Sequence[float]) -> None:
        """Nothing is learned."""

    def state_dict(self) -> dict[str, Any]:
        """Nothing to keep."""
        return {}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Nothing to restore."""

    def metrics(self) -> dict[str, float]:
        """Nothing to log."""
        return {}


def module_of(name: str) -> str:
    """The module that defines a selector; imported by name, so that one selector's code never touches another's.

    Raises:
        ValueError: there is none of that name.
    """
    module = f"dopr.selection.{name}"
    if name == "selector" or not name.isidentifier() or importlib.util.find_spec(module) is None:
        raise ValueError(f"selector {name!r} does not exist: there is no src/dopr/selection/{name}.py")
    return module


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
