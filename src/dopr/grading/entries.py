"""Questions of reasoning-gym as references: everything that their scorer reads, as text.

A scorer reads a question's metadata and its task's parameters, and not its answer alone. So the reference of such a
question is its whole entry, behind a mark. It lies in the files of questions and of completions. Scoring needs these
files and the package, and never makes the question again.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Any

MARK = "reasoning_gym:"
PACKAGE = "reasoning-gym"
INSTALL = "pip install --editable '.[reasoning-gym]' in the clone"


@dataclass(frozen=True)
class Entry:
    """A question of reasoning-gym.

    Attributes:
        version: The package's version that made it.
        task: The name of its data set.
        parameters: The data set's own parameters.
        content: `question`, `answer` and `metadata`, as the package made them.
    """

    version: str
    task: str
    parameters: dict[str, Any]
    content: dict[str, Any]

    def reference(self) -> str:
        """Return the entry as text. Tuples and keys that are not text are kept."""
        return MARK + json.dumps(_tagged(vars(self)), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def read(cls, reference: str) -> Entry:
        """Return the entry of a reference.

        Raises:
            ValueError: The reference is none of an entry.
        """
        return cls(**json.loads(reference.removeprefix(MARK), object_hook=_untagged))


def is_entry(reference: str) -> bool:
    """Return whether a reference is that of an entry."""
    return reference.startswith(MARK)


def installed_version() -> str | None:
    """Return the version of the installed package, or None."""
    try:
        return version(PACKAGE)
    except PackageNotFoundError:
        return None


def _tagged(value: Any) -> Any:
    """Return a value with tuples and mappings as JSON objects that say what they were."""
    match value:
        case tuple():
            return {"tuple": [_tagged(item) for item in value]}
        case list():
            return [_tagged(item) for item in value]
        case Mapping():
            return {"dict": [[_tagged(key), _tagged(item)] for key, item in value.items()]}
    return value


def _untagged(value: dict[str, Any]) -> Any:
    ((kind, items),) = value.items()
    return tuple(items) if kind == "tuple" else dict(items)
