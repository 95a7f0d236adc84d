"""A fixed set of prompts, named one by one: a published example, or a hand-made one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from dopr.selection.parts.drawing import OptionError
from dopr.selection.parts.fixed_set import FixedSet
from dopr.selection.selector import Setup


@dataclass
class Selector(FixedSet):
    """The prompts of `prompts`, by id, in turn."""

    setup: Setup
    prompts: Annotated[list[str], Field(min_length=1)] = field(default_factory=list)
    chosen: list[str] = field(init=False)

    def __post_init__(self) -> None:
        known = set(self.setup.pool)
        unknown = [prompt for prompt in self.prompts if prompt not in known]
        if unknown or not self.prompts:
            raise OptionError(
                f"fixed: prompts {unknown or self.prompts} are not in the pool of {len(known)}; name some that are, "
                f"such as {self.setup.pool[0]!r}"
            )
        self.chosen = list(self.prompts)
