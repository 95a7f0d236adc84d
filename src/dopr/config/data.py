"""The data in the configuration: benchmarks, prompt pools, data sets of one's own, and how a prompt is written."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from dopr.config.section import PositiveInt, Section, Share

Weights = dict[str, Annotated[float, Field(gt=0)]]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


def without_null(entries: Any) -> Any:
    """A mapping without its null entries: how an overlay takes out what config.yaml has."""
    return {key: value for key, value in entries.items() if value is not None} if isinstance(entries, dict) else entries


class Source(Section):
    """A data set with one question a row, and the fields of a row that hold what is needed.

    Where it lies, one of: file, a local file; url, with the sha256 of what is there; public, a file of
    resources/public.json; repo, a data set on the Hugging Face hub (or a local folder laid out like one), with its
    revision, split and config. format: of a file; null goes by the name's ending. delimiter: of CSV; null goes by the
    first line. field: of a JSON object, where its list of rows lies; null takes its only list of objects.
    question, answer, id, category, choices: names of fields; `a.0.b` is b of the first element of a, `a.-1.b` of the
    last. A question may be a list of chat messages. Without id, rows are numbered from 0. answer_format: `text`, the
    answer itself; `boxed` and `gsm8k`, a worked solution with the answer in its last box or after its last `####`.
    suffix: what ends every question as the policy reads it, added where a row lacks it; no part of the question when
    questions are compared. unanswered: rows without an answer are kept, which never earn a reward, and not refused.
    prompts: how many it holds, copies counted once; another number is refused.
    """

    file: Path | None = None
    url: str | None = None
    sha256: Hash | None = None
    public: str | None = None
    repo: str | None = None
    revision: str | None = None
    split: str = "train"
    config: str | None = None
    format: Literal["parquet", "jsonl", "json", "csv"] | None = None
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    field: str | None = None
    question: str = "question"
    answer: str = "answer"
    id: str | None = None
    category: str | None = None
    choices: str | None = None
    answer_format: Literal["text", "boxed", "gsm8k"] = "text"
    suffix: str = ""
    unanswered: bool = False
    prompts: PositiveInt | None = None
    about: str = ""

    @model_validator(mode="before")
    @classmethod
    def _boxed(cls, raw: Any) -> Any:
        """`boxed: true` is what `answer_format: boxed` was called before."""
        if not isinstance(raw, dict) or "boxed" not in raw:
            return raw
        fields = {key: value for key, value in raw.items() if key != "boxed"}
        if raw["boxed"]:
            warnings.warn("data.sources: write `answer_format: boxed` for `boxed: true`", FutureWarning, stacklevel=1)
            fields.setdefault("answer_format", "boxed")
        return fields

    @model_validator(mode="after")
    def _lies_somewhere(self) -> Source:
        places = {"file": self.file, "url": self.url, "public": self.public, "repo": self.repo}
        given = [name for name, value in places.items() if value is not None]
        if len(given) != 1:
            raise ValueError(f"{' and '.join(given) or 'nothing'} says where it lies; give one of {', '.join(places)}")
        if (self.url is None) != (self.sha256 is None):
            raise ValueError("url and sha256 go together; give both: sha256sum FILE prints the latter")
        if self.repo is not None and self.revision is None and not Path(self.repo).is_dir():
            raise ValueError(f"revision: missing; give the commit of {self.repo}, or a result cannot be made again")
        return self


class Pool(Section):
    """A prompt pool: drawn from task families, or taken from a source.

    Drawn: `size` prompts, of which the share zero_signal can never earn a reward. Taken: all prompts of `source`, or
    `size` of them drawn by data.seed, or those at `indices` (places among its prompts, copies counted once, from 0).
    base_seed: seed of the warm-started policy that is trained on it; null is base.warm_start.seed.
    """

    size: PositiveInt | None = None
    zero_signal: Share = 0.0
    families: Weights = Field(default_factory=dict)
    zero_signal_family: str = "big1"
    source: str | None = None
    indices: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    base_seed: int | None = None

    @model_validator(mode="after")
    def _of_one_kind(self) -> Pool:
        if (self.source is None) == (not self.families):
            raise ValueError("give either families and a size, or a source")
        if self.source is None and (self.size is None or self.indices):
            raise ValueError("a pool drawn from families needs a size, and has no indices")
        if self.source and (self.zero_signal or (self.size and self.indices)):
            raise ValueError("a pool taken from a source has a size or indices or neither, and no zero_signal")
        return self


class Validation(Section):
    """Validation questions from a source: all, or `size` of them drawn by data.seed.

    Those that a pool of other prompts holds (another source, or indices) are passed over; pools that take the source
    as a whole, or draw from it, lose them.
    """

    source: str
    size: PositiveInt | None = None


class Data(Section):
    """Benchmarks by group, how many questions are drawn for those that are task families, and the pools.

    mirror: a folder with copies of the public files. decontaminate: pools lose the questions of benchmarks.
    """

    seed: int
    mirror: Path | None = None
    sources: dict[str, Source] = Field(default_factory=dict)
    benchmarks: Annotated[dict[str, Annotated[list[str], Field(min_length=1)]], BeforeValidator(without_null)]
    questions: PositiveInt
    validation_questions: PositiveInt
    validation: Validation | None = None
    decontaminate: bool = False
    pools: Annotated[dict[str, Pool], BeforeValidator(without_null)]

    @property
    def group_of(self) -> dict[str, str]:
        """Benchmark name -> group name."""
        return {name: group for group, names in self.benchmarks.items() for name in names}


class Example(Section):
    """A question that was answered before the one that is asked."""

    question: str
    answer: str


class PromptStyle(Section):
    """How a question becomes what the policy reads.

    template: by name. system, suffix: another system prompt than the template's own, for questions that bring none
    along, and what ends every question that does not end with it.
    examples: turns before the question, of a model's own template.
    """

    template: str = "plain"
    system: str | None = None
    suffix: str | None = None
    examples: list[Example] = Field(default_factory=list)
