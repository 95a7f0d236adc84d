"""The base class of every part of the configuration, and the value types that the parts share."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field, ValidatorFunctionWrapHandler, field_validator

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
        if isinstance(value, bool) and not isinstance(checked, bool):
            raise ValueError(f"{str(value).lower()} is refused: it is no number; give one")
        return checked
