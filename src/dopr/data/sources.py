"""Data sets as prompts: every row of a source becomes a Prompt, or is refused by its number.

A prompt comes in the plain style, the question and a line break, or as a conversation; dopr.data.templates writes it in
another. Sources known by name, with the fields of their files, are in resources/sources.json.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dopr.config.data import Data, Source
from dopr.data import fields
from dopr.data.conversation import SYSTEM, USER, Conversation, Turn, read_turns
from dopr.data.public import MIRROR, fetched, public_file
from dopr.data.rows import Row, file_rows, hub_rows
from dopr.errors import suggestion
from dopr.files import DataError, read_json, sha256
from dopr.records import Prompt

KNOWN = Path(__file__).parents[3] / "resources" / "sources.json"


@dataclass(frozen=True)
class Loaded:
    """A source's prompts in file order, the file and row of each by id, and what they are: the hash of the file or the
    revision, rows, exact copies (which count once), and ids of prompts without an answer."""

    prompts: list[Prompt]
    places: dict[str, str]
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


def check_source(name: str, source: Source, mirror: Path | None) -> None:
    """A source that lies on this machine is there.

    Raises:
        DataError: it is not.
    """
    if source.file is not None and not source.file.is_file():
        raise DataError(f"data.sources.{name}.file: {source.file}: no such file")
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
    where, rows, origin = _rows(source, mirror)
    if not rows:
        raise DataError(f"{where}: holds no rows")
    found: dict[str, tuple[int, Prompt]] = {}
    for place, (number, row) in enumerate(rows):
        try:
            prompt = _prompt(name, source, place, row)
        except ValueError as problem:
            raise DataError(f"{where}: row {number}: {problem}") from None
        first, other = found.setdefault(prompt.id if source.id else repr(row), (number, prompt))
        if source.id and other != prompt:
            raise DataError(
                f"{where}: row {number}: has the id of row {first}, {source.id} {prompt.id!r}; make it another"
            )
    prompts = [prompt for _, prompt in found.values()]
    if source.prompts not in (None, len(prompts)):
        raise DataError(
            f"{where}: holds {len(prompts)} prompts, not {source.prompts}; get it again, or correct `prompts`"
        )
    places = {prompt.id: f"{where}: row {number}" for number, prompt in found.values()}
    unanswered = [prompt.id for prompt in prompts if not prompt.answer]
    counts = {"rows": len(rows), "copies": len(rows) - len(prompts), "unanswered": unanswered}
    return Loaded(prompts, places, origin | counts)


def with_suffix(question: str, suffix: str) -> str:
    """The question with what should end it."""
    return question if question.endswith(suffix) else question + suffix


def compared(prompt: Prompt, suffix: str) -> str:
    """The question of a plain prompt, as questions are compared: without the suffix, white space made one space."""
    return " ".join(prompt.text.strip().removesuffix(suffix.strip()).split())


def _rows(source: Source, mirror: Path | None) -> tuple[str, list[tuple[int, Row]], dict[str, Any]]:
    """Where a source lies, its rows, and what tells it from another of that name."""
    if source.repo is not None:
        return source.repo, hub_rows(source), {"repo": source.repo, "revision": source.revision}
    path = _path(source, mirror)
    rows = file_rows(path, source.format, delimiter=source.delimiter, field=source.field)
    return str(path), rows, {"file": path.name, "sha256": sha256(path)}


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
    *before, last = fields.read(row, source.question, read_turns)
    question = last.content
    if source.choices:
        question = f"{question}\n{fields.read(row, source.choices, fields.choices)}"
    question = with_suffix(question, source.suffix)
    answer = fields.read(row, source.answer, fields.answer(source.answer_format))
    if not answer and not source.unanswered:
        raise ValueError(f"field {source.answer!r} is empty; give an answer, or set the source's `unanswered`")
    number = fields.read(row, source.id, fields.number) if source.id else str(place)
    category = fields.read(row, source.category, fields.text) if source.category else ""
    said = "\n".join([*(turn.content for turn in before if turn.role != SYSTEM), question])
    prompt = Prompt(f"{name}-{number}", said + "\n", answer, name, category)
    return Conversation(**vars(prompt), turns=(*before, Turn(USER, question))) if before else prompt
