"""Data sets as prompts: every row of a source becomes a Prompt, or an error with its number.

A prompt is the question and a line break, or a conversation. dopr.data.templates applies a template to it later.
resources/sources.json has the sources that are known by name.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from dopr.config.data import Data, Source
from dopr.data import fields, reasoning_gym
from dopr.data.conversation import SYSTEM, USER, Conversation, Turn, read_turns
from dopr.data.public import MIRROR, fetched, public_file
from dopr.data.rows import Row, file_rows, hub_rows
from dopr.errors import suggestion
from dopr.files import DataError, read_json, sha256
from dopr.records import Prompt

KNOWN = Path(__file__).parents[3] / "resources" / "sources.json"


@dataclass(frozen=True)
class Loaded:
    """A source's prompts in file order.

    Attributes:
        prompts: The prompts. Exact copies count once.
        locations: Prompt id -> file and row.
        origin: The hash of the file or the revision, the numbers of rows and copies, and ids of prompts without answer.
    """

    prompts: list[Prompt]
    locations: dict[str, str]
    origin: dict[str, Any]


@cache
def known_sources() -> dict[str, Source]:
    """Return the sources that come with the library, by name."""
    return {name: Source(**fields) for name, fields in read_json(KNOWN).items()}


def sources_of(data: Data) -> dict[str, Source]:
    """Return every source by name. The configuration's own replace known ones."""
    return {**known_sources(), **data.sources}


def source_named(data: Data, name: str) -> Source:
    """Return the source with a name.

    Raises:
        DataError: There is none.
    """
    sources = sources_of(data)
    if name not in sources:
        raise DataError(f"data.sources: there is no {name!r}{suggestion(name, list(sources))}")
    return sources[name]


def used_sources(data: Data) -> list[str]:
    """Return the names of the sources that benchmarks, pools and validation use."""
    pools = [pool.source for pool in data.pools.values() if pool.source]
    benchmarks = [name for name in data.group_of if name in sources_of(data)]
    return list(dict.fromkeys([*benchmarks, *pools, *([data.validation.source] if data.validation else [])]))


def check_source(name: str, source: Source, mirror: Path | None) -> None:
    """Check that a source on this machine exists, and that reasoning-gym has one of its.

    Raises:
        DataError: It does not, or has not.
    """
    if source.reasoning_gym is not None:
        reasoning_gym.check(source.reasoning_gym, f"data.sources.{name}.reasoning_gym")
    if source.file is not None and not source.file.is_file():
        raise DataError(f"data.sources.{name}.file: {source.file}: no such file; give its path")
    if source.public is not None and mirror:
        public_file(source.public, mirror)


def mirror_of(data: Data) -> Path | None:
    """Return the folder with copies of the public files: the environment variable DOPR_DATA, else data.mirror."""
    return Path(os.environ[MIRROR]) if os.environ.get(MIRROR) else data.mirror


def load_source(name: str, source: Source, mirror: Path | None) -> Loaded:
    """Read all prompts of a source. Their `family` is the source's name.

    Raises:
        DataError: The source cannot be found or read, or a row is invalid. The message names the row and the field.
    """
    where, rows, origin = _rows(name, source, mirror)
    if not rows:
        raise DataError(f"{where}: holds no rows")
    distinct: dict[str, tuple[int, Prompt]] = {}
    for row_index, (number, row) in enumerate(rows):
        try:
            prompt = _prompt(name, source, row_index, row)
        except ValueError as problem:
            raise DataError(f"{where}: row {number}: {problem}") from None
        key = prompt.id if source.id else prompt.text if source.reasoning_gym else repr(row)
        first_number, first_prompt = distinct.setdefault(key, (number, prompt))
        if source.id and first_prompt != prompt:
            raise DataError(
                f"{where}: row {number}: has the id of row {first_number}, {source.id} {prompt.id!r}; make it another"
            )
    prompts = [prompt for _, prompt in distinct.values()]
    if source.prompts not in (None, len(prompts)):
        raise DataError(
            f"{where}: holds {len(prompts)} prompts, not {source.prompts}; get it again, or correct `prompts`"
        )
    locations = {prompt.id: f"{where}: row {number}" for number, prompt in distinct.values()}
    unanswered = [prompt.id for prompt in prompts if not prompt.answer]
    counts = {"rows": len(rows), "copies": len(rows) - len(prompts), "unanswered": unanswered}
    return Loaded(prompts, locations, origin | counts)


def with_suffix(question: str, suffix: str) -> str:
    """Add a suffix to a question that does not end with it."""
    return question if question.endswith(suffix) else question + suffix


def comparable_question(prompt: Prompt, suffix: str) -> str:
    """Return a prompt's question in the form that questions are compared in: no suffix, single spaces."""
    return " ".join(prompt.text.strip().removesuffix(suffix.strip()).split())


def _rows(name: str, source: Source, mirror: Path | None) -> tuple[str, list[tuple[int, Row]], dict[str, Any]]:
    """Return a source's location, its numbered rows, and its identity: the file's hash, the revision or the version."""
    if source.reasoning_gym is not None:
        key = f"data.sources.{name}.reasoning_gym"
        rows = reasoning_gym.rows(source.reasoning_gym, key)
        return key, rows, {**source.reasoning_gym.model_dump(), **reasoning_gym.package()}
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
    assert source.file is not None  # Source checks that exactly one location is given
    return source.file


def _prompt(name: str, source: Source, row_index: int, row: Row) -> Prompt:
    """Turn a row into a prompt.

    Raises:
        ValueError: A field is missing or invalid. The message names it.
    """
    *before, last = fields.read(row, source.question, read_turns)
    question = last.content
    if source.choices:
        question = f"{question}\n{fields.read(row, source.choices, fields.choices)}"
    question = with_suffix(question, source.suffix)
    answer = fields.read(row, source.answer, fields.answer(source.answer_format))
    if not answer and not source.unanswered:
        raise ValueError(f"field {source.answer!r} is empty; give an answer, or set the source's `unanswered`")
    row_id = fields.read(row, source.id, fields.row_id) if source.id else str(row_index)
    category_field = reasoning_gym.TASK if source.reasoning_gym else source.category
    category = fields.read(row, category_field, fields.text) if category_field else ""
    text = "\n".join([*(turn.content for turn in before if turn.role != SYSTEM), question])
    prompt = Prompt(f"{name}-{row_id}", text + "\n", answer, name, category)
    return Conversation(**vars(prompt), turns=(*before, Turn(USER, question))) if before else prompt
