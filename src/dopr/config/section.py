"""The base class of every part of the configuration, and the value types that the parts share."""

from __future__ import annotations

import re
from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator

TOP = re.compile(r"top_([1-9]\d*)$")  # a method that trains on the first N prompts of the ranking
PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen part of the configuration. Unknown keys raise an error. The string below a key is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    replaced_keys: ClassVar[tuple[str, ...]] = ()  # keys that files may have and that are replaced before the check

    @field_validator("*", mode="wrap")
    @classmethod
    def _no_truth_as_number(cls, value: Any, check: ValidatorFunctionWrapHandler) -> Any:
        """Refuse true and false where a number is wanted, which pydantic would take for 1 and 0."""
        checked = check(value)
        if (truth := _truth_as_number(value, checked)) is not None:
            raise ValueError(f"{str(truth).lower()} is refused: it is no number; give one")
        return checked


def _truth_as_number(value: Any, checked: Any) -> bool | None:
    """Return the first true or false of a value, or of its parts, that became a number."""
    if isinstance(value, bool):
        return None if isinstance(checked, bool) else value
    if isinstance(value, dict) and isinstance(checked, dict):
        value, checked = list(value.values()), list(checked.values())
    if not isinstance(value, list) or not isinstance(checked, list | tuple) or len(value) != len(checked):
        return None
    return next((t for pair in zip(value, checked, strict=True) if (t := _truth_as_number(*pair)) is not None), None)


def without_null(entries: Any) -> Any:
    """Drop the null entries of a mapping: an overlay removes an entry of config.yaml by setting it to null."""
    return {key: value for key, value in entries.items() if value is not None} if isinstance(entries, dict) else entries
