"""A fixed set of prompts, named by id: those of a published example, or your own."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated

from pydantic import Field

from dopr.selection.parts.drawing import OptionError
from dopr.selection.parts.fixed_set import FixedSet
from dopr.selection.selector import Setup


@dataclass
class Selector(FixedSet):
    """The prompts in `prompts`, in a cycle.

    Raises:
        OptionError: If `prompts` is empty or names a prompt that is not in the pool.
    """

    setup: Setup
    prompts: Annotated[list[str], Field(min_length=1)] = field(default_factory=list)
    chosen: list[str] = field(init=False)

    def __post_init__(self) -> None:
        pool = set(self.setup.pool)
        unknown = [prompt for prompt in self.prompts if prompt not in pool]
        if unknown or not self.prompts:
            raise OptionError(
                f"fixed: prompts {unknown or self.prompts} are not in the pool of {len(pool)}; name some that are, "
                f"such as {self.setup.pool[0]!r}"
            )
        self.chosen = list(self.prompts)
