"""The base class of every part of the configuration, and the value types that the parts share."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import BaseModel, ConfigDict, Field

PositiveInt = Annotated[int, Field(gt=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A frozen part of the configuration. Unknown keys raise an error. The string below a key is its description."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, use_attribute_docstrings=True)

    replaced_keys: ClassVar[tuple[str, ...]] = ()  # keys that files may have and that are replaced before the check
