"""The configuration of the sample-complexity figure and its bounds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, model_validator

from dopr.config.section import TOP, PositiveInt, Section, Share, without_null


class Bounds(Section):
    """The theoretical bounds that are drawn, by what they count. dopr.bounds.bound describes the names."""

    rollouts: list[str] = Field(default_factory=list)
    """Bounds on the number of rollouts."""
    prompts: list[str] = Field(default_factory=list)
    """Bounds on the number of training prompts."""


class Complexity(Section):
    """The sample-complexity figure: accuracy against the number of training prompts."""

    pools: list[str]
    """Pools to draw it for. An empty list draws none."""
    recipe: str
    """The recipe that `top_N` methods are made from. They train on the N highest-ranked prompts."""
    methods: Annotated[dict[PositiveInt | Literal["all"], str], BeforeValidator(without_null)]
    """Number of training prompts -> the method that trains on them."""
    confidence: Share
    """Confidence level of the tests behind the bounds."""
    bounds: Bounds = Bounds()
    """The bounds that are drawn and listed."""

    @model_validator(mode="after")
    def _check_counts(self) -> Complexity:
        for count, method in self.methods.items():
            top = TOP.match(method)
            if top and int(top[1]) != count:
                raise ValueError(f"methods.{count}: {method} trains on {top[1]} prompts; write {top[1]}: {method}")
        return self
