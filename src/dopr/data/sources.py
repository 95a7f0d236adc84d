"""Data sets as prompts: every row of a source becomes a Prompt, or is refused by its number.

A prompt comes in the plain style, the question and a line break; dopr.data.templates writes it in another. Sources
known by name, with the fields of their files, are in resources/sources.json.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dopr.data.public import MIRROR, fetched, public_file
from dopr.data.rows import Row, file_rows, hub_rows
from dopr.data.section import Data, Source
from dopr.errors import suggestion
from dopr.files import DataError, read_json, sha256
from dopr.records import Prompt
from dopr.verify.answers import last_boxed

KNOWN = Path(__file__).parents[3] / "resources" / "sources.json"


@dataclass(frozen=True)
class Loaded:
    """A source's prompts in file order, and what they are: the hash of the file or the revision, rows, exact copies
    (which count once), and ids of prompts without an answer."""

    prompts: list[Prompt]
    origin: dict[str, Any]


@cache
def known_sources() -> dict[str, Source]:
    """The sources that come with the library."""
    return {name: Source(**fields) for name, fields in read_json(KNOWN).items()}


def sources_of(data: Data) -> dict[str, Source]:
    """Every source by name; the user's own come first."""
    return {**known_sources(), **data.sources}


def source_named(data: Data, name: str) -> Source:
    """The source of a name.

    Raises:
        DataError: there is none.
    """
    sources = sources_of(data)
    if name not in sources:
        raise DataError(f"data.sources: there is no {name!r}{suggestion(name, list(sources))}")
    return sources[name]


def used_sources(data: Data) -> list[str]:
    """Names of the sources that benchmarks, pools and validation use."""
    pools = [pool.source for pool in data.pools.values() if pool.source]
    named = [name for name in data.group_of if name in sources_of(data)]
    return list(dict.fromkeys([*named, *pools, *([data.validation.source] if data.validation else [])]))


def check_source(source: Source, mirror: Path | None) -> None:
    """A source that lies on this machine is there.

    Raises:
        DataError: it is not.
    """
    if source.file is not None and not source.file.is_file():
        raise DataError(f"data.sources: {source.file}: no such file")
    if source.public is not None and mirror:
        public_file(source.public, mirror)


def mirror_of(data: Data) -> Path | None:
    """The folder with copies of the public files: that of the environment variable DOPR_DATA, or data.mirror."""
    return Path(os.environ[MIRROR]) if os.environ.get(MIRROR) else data.mirror


def load_source(name: str, source: Source, mirror: Path | None) -> Loaded:
    """All prompts of a source; their family is its name.

    Raises:
        DataError: it cannot be found or read, or a row is not what it should be; names the row and the field.
    """
    if source.repo is not None:
        where, rows = source.repo, hub_rows(source)
        origin: dict[str, Any] = {"repo": source.repo, "revision": source.revision}
    else:
        path = _path(source, mirror)
        where, rows = str(path), file_rows(path, source.format)
        origin = {"file": path.name, "sha256": sha256(path)}
    if not rows:
        raise DataError(f"{where}: holds no rows")
    found: dict[str, tuple[int, Prompt]] = {}
    for place, (number, row) in enumerate(rows):
        try:
            prompt = _prompt(name, source, place, row)
        except ValueError as problem:
            raise DataError(f"{where}: row {number}: {problem}") from None
        first, other = found.setdefault(prompt.id, (number, prompt))
        if other != prompt:
            raise DataError(
                f"{where}: row {number}: has the id of row {first}, {source.id} {prompt.id!r}; make it another"
            )
    prompts = [prompt for _, prompt in found.values()]
    if source.prompts not in (None, len(prompts)):
        raise DataError(
            f"{where}: holds {len(prompts)} prompts, not {source.prompts}; get it again, or correct `prompts`"
        )
    unanswered = [prompt.id for prompt in prompts if not prompt.answer]
    return Loaded(prompts, {**origin, "rows": len(rows), "copies": len(rows) - len(prompts), "unanswered": unanswered})


def with_suffix(question: str, suffix: str) -> str:
    """The question with what should end it."""
    return question if question.endswith(suffix) else question + suffix


def compared(prompt: Prompt, suffix: str) -> str:
    """The question of a plain prompt, as questions are compared: without the suffix, white space made one space."""
    return " ".join(prompt.text.strip().removesuffix(suffix.strip()).split())


def _path(source: Source, mirror: Path | None) -> Path:
    if source.public is not None:
        return public_file(source.public, mirror)
    if source.url is not None and source.sha256 is not None:
        return fetched(source.url, source.sha256)
    assert source.file is not None  # Source has exactly one place
    return source.file


def _prompt(name: str, source: Source, place: int, row: Row) -> Prompt:
    """A row as a prompt.

    Raises:
        ValueError: a field is missing or is not what it should be; names it.
    """
    question = _read(row, source.question, _text)
    if source.choices:
        question = f"{question}\n{_read(row, source.choices, _choices)}"
    answer = _read(row, source.answer, _boxed if source.boxed else _answer)
    if not answer and not source.unanswered:
        raise ValueError(f"field {source.answer!r} is empty; give an answer, or set the source's `unanswered`")
    number = _read(row, source.id, _number) if source.id else str(place)
    category = _read(row, source.category, _text) if source.category else ""
    return Prompt(f"{name}-{number}", with_suffix(question, source.suffix) + "\n", answer, name, category)


def _read(row: Row, field: str, convert: Callable[[Any], str]) -> str:
    """A field of a row, through lists and objects, as text.

    Raises:
        ValueError: it is not there, or of another kind.
    """
    value: Any = row
    for part in field.split("."):
        if isinstance(value, dict) and part in value:
            value = value[part]
        elif isinstance(value, list) and part.isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise ValueError(f"has no field {field!r}; it has {', '.join(map(str, row))}: name one in the source")
    try:
        return convert(value)
    except TypeError as problem:
        raise ValueError(f"field {field!r} is {str(value)[:40]!r}, {problem}") from None


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise TypeError("and not text; every row needs some")
    return value


def _number(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, str)) or value == "":
        raise TypeError("and neither text nor a whole number; every row needs an id of its own")
    return str(value)


def _answer(value: Any) -> str:
    """Text as it is; 27.0 as 27; a list of one as that one."""
    if isinstance(value, list) and len(value) == 1:
        return _answer(value[0])
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise TypeError("and neither text nor a number; write the answer out, or drop the row")
    return str(value).strip()


def _boxed(value: Any) -> str:
    answer = last_boxed(_text(value))
    if answer is None:
        raise TypeError(r"which has no complete \boxed{}; give the answer's own field, or leave `boxed` out")
    return answer


def _choices(value: Any) -> str:
    """One line a choice, from {"label": [...], "text": [...]}."""
    labels, texts = (value.get(key) if isinstance(value, dict) else None for key in ("label", "text"))
    if not isinstance(labels, Sequence) or not isinstance(texts, Sequence) or len(labels) != len(texts) or not texts:
        raise TypeError("and no object with as many a `label` as a `text`")
    return "\n".join(f"{_text(label)}. {_text(text)}" for label, text in zip(labels, texts, strict=True))
