"""The configuration of the sample-complexity figure and its bounds."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dopr.config.section import PositiveInt, Section, Share


class Bounds(Section):
    """The bounds that are drawn, by what they count (dopr.bounds.bound says what a name may be)."""

    rollouts: list[str] = Field(default_factory=list)
    prompts: list[str] = Field(default_factory=list)


class Complexity(Section):
    """Sample complexity: how many prompts -> the method that trains on them. `recipe` is what `top_N` is made from."""

    pools: list[str]
    recipe: str
    methods: dict[PositiveInt | Literal["all"], str]
    confidence: Share
    bounds: Bounds = Bounds()
