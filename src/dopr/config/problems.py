"""What pydantic finds wrong with a configuration, as one line: the file, the key, the value and the fix."""

from __future__ import annotations

import re
import typing
from collections.abc import Sequence
from typing import Any

from pydantic import ValidationError

from dopr.config.config_files import ConfigFiles
from dopr.config.section import Section
from dopr.errors import suggestion

TYPE = re.compile(r".*\[.*\]|(constrained-)?(int|float|str)")  # in the path of a value that may have several types


def explain(error: ValidationError, root: type[Section], files: ConfigFiles) -> str:
    """Return the first mistake as `FILE: KEY: PROBLEM`, with the number of the others.

    A mistake in `train` is found once in each recipe that takes it over, and in a union once for each type; it counts
    once. Keys that are missing come last, as an unknown key may be the misspelt one.

    Args:
        error: What pydantic raised.
        root: The section that was checked.
        files: The files that the configuration was merged from.
    """
    problems = sorted(error.errors(), key=lambda problem: problem["type"] == "missing")
    by_key: dict[str, str] = {}
    for problem in problems:
        line = files.named(_as_text(problem, root))
        by_key.setdefault(line.split(": ")[1], line)
    lines = [line for key, line in by_key.items() if not any(other.startswith(f"{key}.") for other in by_key)]
    return f"{lines[0]} (and {len(lines) - 1} more)" if len(lines) > 1 else lines[0]


def _as_text(problem: Any, root: type[Section]) -> str:
    """Turn a pydantic error into `key: value is wrong; fix`."""
    keys = [str(part) for part in problem["loc"] if not TYPE.fullmatch(str(part))]
    path = ".".join(keys)
    if problem["type"] == "extra_forbidden":
        return f"{path}: unknown key{suggestion(keys[-1], _known_keys(keys[:-1], root))}"
    if problem["type"] == "missing":
        return f"{path}: missing; add it"
    message = problem["msg"].removeprefix("Value error, ")
    if not path:
        return str(message)
    if problem["type"] == "value_error":
        key = message.partition(": ")[0].partition(".")[0]
        return f"{path}.{message}" if key in _known_keys(keys, root) else f"{path}: {message}"
    if problem["input"] is None:
        return f"{path}: is empty; give it a value, or remove it"
    return f"{path}: {problem['input']!r} is refused: {message[0].lower()}{message[1:]}"


def _known_keys(path: Sequence[str], root: type[Section]) -> list[str]:
    """Return the keys of the section at `path`; none if it is no section."""
    section: Any = root
    for key in path:
        values = typing.get_args(section)[-1:]  # of a dict or list
        section = section.model_fields[key].annotation if _is_section(section) else values[0]
        if typing.get_origin(section) not in (dict, list):
            section = next(filter(_is_section, typing.get_args(section)), section)  # of `Section | None`
    return [*section.model_fields, *section.replaced_keys] if _is_section(section) else []


def _is_section(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Section)
