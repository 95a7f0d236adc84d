"""The configuration of a source that the package reasoning-gym generates."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field

from dopr.config.section import PositiveInt, Section


class ReasoningGym(Section):
    """A procedural data set of the package reasoning-gym, scored by its own scorer."""

    task: str
    """The name of the data set, such as chain_sum; `composite` mixes several."""
    size: PositiveInt
    """Number of questions to generate. Equal questions count once."""
    seed: Annotated[int, Field(ge=0)]
    """Seed of the questions. Another seed gives other questions of the same kind."""
    parameters: dict[str, Any] = Field(default_factory=dict)
    """The data set's own parameters, by their names in the package."""
