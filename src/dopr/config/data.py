"""The configuration of data: benchmarks, prompt pools, your own data sets, and prompt templates."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from dopr.config.reasoning_gym import ReasoningGym
from dopr.config.section import PositiveInt, Section, Share, without_null

Weight = Annotated[float, Field(gt=0, le=1e6)]  # of one thing among others
Weights = dict[str, Weight]
Hash = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


COLUMNS = {"pool", "method", "seeds", "rollouts", "all", "all_low", "all_high", "greedy", "unparsed"}


def free_names(groups: dict[str, list[str]]) -> dict[str, list[str]]:
    """Raise ValueError if a group has the name of another column of the main table, or one that breaks its rows."""
    for name in groups:
        if name in COLUMNS or not name.strip() or any(character in name for character in "|\n"):
            raise ValueError(f"{name!r} cannot head a column of the main table; give the group another name")
    return groups


class Source(Section):
    """A data set with one question in each row.

    Exactly one of `file`, `url`, `public`, `repo` and `reasoning_gym` is given. Keys that name a field of a row may be
    paths: `a.0.b` is b of the first element of a, and `a.-1.b` of the last.
    """

    file: Path | None = None
    """A local file."""
    url: str | None = None
    """The address of a file. It needs `sha256`."""
    sha256: Hash | None = None
    """The hash of the file at `url`."""
    public: str | None = None
    """A name in resources/public.json."""
    repo: str | None = None
    """A data set on the Hugging Face hub, or a local folder with the same layout."""
    revision: str | None = None
    """The commit of `repo`."""
    split: str = "train"
    """The split of `repo`."""
    config: str | None = None
    """The configuration of `repo`."""
    reasoning_gym: ReasoningGym | None = None
    """A data set that the package reasoning-gym generates. Of the other keys it takes `suffix`, `prompts`, `about`."""
    format: Literal["parquet", "jsonl", "json", "csv"] | None = None
    """The format of a file. null takes it from the file name's ending."""
    delimiter: Annotated[str, Field(min_length=1, max_length=1)] | None = None
    """The delimiter of a CSV file. null takes it from the first line."""
    field: str | None = None
    """The field of a JSON object that holds the list of rows. null takes its only list of objects."""
    question: str = "question"
    """The field with the question: text, or a list of chat messages."""
    answer: str = "answer"
    """The field with the reference answer."""
    id: str | None = None
    """The field with the id. null numbers the rows from 0."""
    category: str | None = None
    """The field with the category."""
    choices: str | None = None
    """The field with the answer options of a multiple-choice question."""
    answer_format: Literal["text", "boxed", "gsm8k"] = "text"
    """`text` is the answer itself. `boxed` and `gsm8k` are solutions with it in the last box or after the last ####."""
    suffix: str = ""
    """Text that ends every question, added to rows that lack it. Comparisons of questions leave it out."""
    unanswered: bool = False
    """Keep rows without an answer, which never earn a reward. false raises an error at such a row."""
    prompts: PositiveInt | None = None
    """The expected number of prompts, without exact copies. Another number raises an error."""
    about: str = ""
    """A remark for readers. Nothing reads it."""

    @model_validator(mode="before")
    @classmethod
    def _boxed(cls, raw: Any) -> Any:
        """Read `boxed: true`, the old name of `answer_format: boxed`."""
        if not isinstance(raw, dict) or "boxed" not in raw:
            return raw
        fields = {key: value for key, value in raw.items() if key != "boxed"}
        if raw["boxed"]:
            warnings.warn("data.sources: write `answer_format: boxed` for `boxed: true`", FutureWarning, stacklevel=1)
            fields.setdefault("answer_format", "boxed")
        return fields

    @model_validator(mode="after")
    def _check_location(self) -> Source:
        locations = ("file", "url", "public", "repo", "reasoning_gym")
        given = [name for name in locations if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"{' and '.join(given) or 'no location'} is given; give exactly one of {', '.join(locations)}"
            )
        if (self.url is None) != (self.sha256 is None):
            raise ValueError("url and sha256 go together; give both: sha256sum FILE prints the latter")
        if self.repo is not None and self.revision is None and not Path(self.repo).is_dir():
            raise ValueError(f"revision: missing; give the commit of {self.repo}, or a result cannot be made again")
        read = {*locations, "suffix", "prompts", "about"}
        for name, field in Source.model_fields.items() if self.reasoning_gym else ():
            if name not in read and getattr(self, name) != field.default:
                raise ValueError(f"{name}: goes with rows of a file; reasoning_gym makes its own, so leave it out")
        return self


class Pool(Section):
    """A prompt pool: drawn from task families, or taken from a source."""

    size: PositiveInt | None = None
    """Number of prompts. A source draws them with data.seed; null takes all of its prompts."""
    zero_signal: Share = 0.0
    """Share of the prompts that never earn a reward. Only for task families."""
    families: Weights = Field(default_factory=dict)
    """Task family -> its weight among the other prompts."""
    zero_signal_family: str = "big1"
    """The task family of the prompts that never earn a reward."""
    source: str | None = None
    """The source that the prompts are taken from."""
    indices: Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1)] | None = None
    """Take these prompts of the source. Indices begin at 0, and exact copies count once."""
    base_seed: int | None = None
    """Seed of the embedded starting policy that is trained on this pool. null is base.warm_start.seed."""

    @model_validator(mode="after")
    def _check_kind(self) -> Pool:
        if (self.source is None) == (not self.families):
            raise ValueError("give either families and a size, or a source")
        if self.source is None and (self.size is None or self.indices):
            raise ValueError("a pool drawn from families needs a size, and has no indices")
        if self.source and (self.zero_signal or (self.size and self.indices)):
            raise ValueError("a pool taken from a source has a size or indices or neither, and no zero_signal")
        return self


class Validation(Section):
    """Validation questions from a source.

    Questions of pools that use another source, or `indices`, are not taken. Pools that take all of this source, or draw
    from it, lose the validation questions.
    """

    source: str
    """The source of the questions."""
    size: PositiveInt | None = None
    """Number of questions, drawn with data.seed. null takes all."""


class Data(Section):
    """Benchmarks, validation questions, prompt pools and data sets."""

    seed: int
    """Seed of everything that is drawn."""
    mirror: Path | None = None
    """A folder with copies of the public files. null downloads those in use."""
    sources: dict[str, Source] = Field(default_factory=dict)
    """Your own data sets, by name."""
    benchmarks: Annotated[
        dict[str, Annotated[list[str], Field(min_length=1)]],
        BeforeValidator(without_null),
        AfterValidator(free_names),
        Field(min_length=1),
    ]
    """Group -> its benchmarks: task families or sources."""
    questions: PositiveInt
    """Test questions of each benchmark that is a task family. A source is taken whole."""
    validation_questions: PositiveInt
    """Validation questions of each benchmark that is a task family."""
    validation: Validation | None = None
    """More validation questions, from a source."""
    decontaminate: bool = False
    """Remove benchmark questions from the pools. They are counted in either case."""
    pools: Annotated[dict[str, Pool], BeforeValidator(without_null)]
    """The prompt pools, by name."""

    @property
    def group_of(self) -> dict[str, str]:
        """Benchmark name -> group name."""
        return {name: group for group, names in self.benchmarks.items() for name in names}


class Example(Section):
    """A solved example that precedes the question."""

    question: str
    """The user's turn."""
    answer: str
    """The assistant's turn."""


class PromptStyle(Section):
    """How a question becomes the prompt that the policy reads."""

    template: str = "plain"
    """A name in resources/templates.json, or `own`, the chat template of base.model."""
    system: str | None = None
    """The system prompt of questions that have none. null is the template's own."""
    suffix: str | None = None
    """Text that ends every question, such as an instruction, added where it is missing. null is the template's own."""
    examples: list[Example] = Field(default_factory=list)
    """Solved examples before the question. Only with template `own`."""
