"""Sources: every kind gives the same prompts, every damaged row is named, and the published data are what they were."""

from __future__ import annotations

import csv
import hashlib
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from dopr.config.data import Source
from dopr.data.sources import comparable_question, known_sources, load_source, with_suffix
from dopr.files import DataError, read_json, write_prompts
from dopr.records import Prompt

DATA = os.environ.get("DOPR_DATA")
published = pytest.mark.skipif(not DATA, reason="DOPR_DATA names no folder with the public files")

ROWS = [
    {"number": 7, "text": "What is 1 + 1?", "label": "2", "kind": "sums"},
    {"number": 9, "text": "Was ist 2 · 3, bitte?", "label": "6", "kind": "products"},
]
FIELDS = {"question": "text", "answer": "label", "id": "number", "category": "kind"}
PROMPTS = [
    Prompt("mine-7", "What is 1 + 1?\n", "2", "mine", "sums"),
    Prompt("mine-9", "Was ist 2 · 3, bitte?\n", "6", "mine", "products"),
]


def write_rows(path: Path, rows: list[dict]) -> Path:
    """Rows in the format of the name's ending."""
    if path.suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    elif path.suffix == ".csv":
        with path.open("w", newline="", encoding="utf8") as file:
            table = csv.DictWriter(file, list(rows[0]))
            table.writeheader()
            table.writerows(rows)
    else:
        path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf8")
    return path


def load(path: Path, **fields: object):
    return load_source("mine", Source(**{"file": path, **FIELDS, **fields}), None)


def refusal(path: Path, **fields: object) -> str:
    with pytest.raises(DataError) as caught:
        load(path, **fields)
    assert "\n" not in str(caught.value)
    return str(caught.value).removeprefix(f"{path}: ")


# --- kinds ---


@pytest.mark.parametrize("suffix", ["parquet", "jsonl", "csv"])
def test_every_format_gives_the_same_prompts(tmp_path: Path, suffix: str) -> None:
    assert load(write_rows(tmp_path / f"rows.{suffix}", ROWS)).prompts == PROMPTS


def test_a_format_may_be_given_where_the_name_does_not_say(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.txt", ROWS)
    assert "its name does not end in .parquet, .jsonl, .json, .csv, .tsv; give the source's `format`" in refusal(path)
    assert load(path, format="jsonl").prompts == PROMPTS


def test_an_address_is_fetched_once_and_its_content_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_rows(tmp_path / "rows.jsonl", ROWS)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    source = Source(url=path.as_uri(), sha256=digest, **FIELDS)
    loaded = load_source("mine", source, None)
    assert loaded.prompts == PROMPTS
    assert loaded.origin["sha256"] == digest
    path.write_text("something else")
    assert load_source("mine", source, None).prompts == PROMPTS
    with pytest.raises(DataError, match=r"rows.jsonl: has sha256 \w{64}, not 0{64}; delete it and get it from file:"):
        load_source("mine", source.model_copy(update={"sha256": "0" * 64}), None)
    path.unlink()
    with pytest.raises(DataError, match=r"cannot be fetched .*; get it in another way and give its `file`"):
        load_source("mine", source.model_copy(update={"sha256": "1" * 64}), None)


def test_a_data_set_laid_out_as_on_the_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    datasets = pytest.importorskip("datasets")
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    (tmp_path / "set").mkdir()
    write_rows(tmp_path / "set/train-00000-of-00001.parquet", ROWS[:1])
    write_rows(tmp_path / "set/test-00000-of-00001.parquet", ROWS)
    source = Source(repo=str(tmp_path / "set"), split="test", **FIELDS)
    assert load_source("mine", source, None).prompts == PROMPTS
    with pytest.raises(DataError, match=r"set: cannot be loaded \(.*\); check repo, revision, config and split"):
        load_source("mine", source.model_copy(update={"split": "dev"}), None)


@pytest.mark.parametrize(
    ("places", "message"),
    [
        ({}, "no location is given; give exactly one of file, url, public, repo"),
        ({"file": "a.csv", "public": "b"}, "file and public is given; give exactly one"),
        ({"url": "https://example.org/a.csv"}, "url and sha256 go together"),
        ({"repo": "someone/something"}, "revision: missing; give the commit of someone/something"),
    ],
)
def test_a_source_lies_in_one_place_that_stays_the_same(places: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Source(**places)


# --- fields ---


def test_fields_are_found_within_lists_and_objects(tmp_path: Path) -> None:
    row = {"prompt": [{"role": "user", "content": "1 + 1?"}], "graded": {"truth": 2}, "extra": {"index": 3}}
    fields = {"question": "prompt.0.content", "answer": "graded.truth", "id": "extra.index", "category": None}
    path = write_rows(tmp_path / "rows.parquet", [row])
    assert load(path, **fields).prompts == [Prompt("mine-3", "1 + 1?\n", "2", "mine")]
    message = "row 1: has no field 'prompt.1.content'; it has prompt, graded, extra: name one in the source"
    assert refusal(path, **{**fields, "question": "prompt.1.content"}) == message
    assert load(path, **{**fields, "question": "prompt.-1.content"}).prompts[0].text == "1 + 1?\n"
    assert refusal(path, **{**fields, "question": "prompt.-2.content"}).startswith("row 1: has no field 'prompt.-2.con")


def test_a_column_may_have_dots_in_its_name(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", [{"q.text": "1 + 1?", "answer": "2"}])
    assert load(path, question="q.text", answer="answer", id=None, category=None).prompts[0].text == "1 + 1?\n"


def test_the_answer_of_a_worked_solution_is_in_its_last_box(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{**ROWS[0], "label": r"\boxed{1}, no, \boxed{\frac{1}{2}}."}])
    assert load(path, answer_format="boxed").prompts[0].answer == r"\frac{1}{2}"
    with pytest.warns(FutureWarning, match="write `answer_format: boxed` for `boxed: true`"):
        assert Source(file=path, boxed=True).answer_format == "boxed"
    assert "which has no complete \\boxed{}" in refusal(write_rows(path, ROWS), answer_format="boxed")


def test_choices_stand_below_the_question(tmp_path: Path) -> None:
    row = {**ROWS[0], "label": "B", "choices": {"label": ["A", "B"], "text": ["one", "two"]}}
    path = write_rows(tmp_path / "rows.jsonl", [row])
    assert load(path, choices="choices").prompts[0].text == "What is 1 + 1?\nA. one\nB. two\n"
    write_rows(path, [{**row, "choices": {"label": ["A"], "text": []}}])
    assert "and no object with as many a `label` as a `text`" in refusal(path, choices="choices")


def test_rows_without_an_id_are_numbered_from_0(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.csv", ROWS)
    assert [prompt.id for prompt in load(path, id=None).prompts] == ["mine-0", "mine-1"]


def test_a_suffix_ends_every_question_once_and_is_not_compared(tmp_path: Path) -> None:
    rows = [{**ROWS[0], "text": "a  b\nc Box it."}, {**ROWS[1], "text": "a b c"}]
    prompts = load(write_rows(tmp_path / "rows.jsonl", rows), suffix=" Box it.").prompts
    assert [prompt.text for prompt in prompts] == ["a  b\nc Box it.\n", "a b c Box it.\n"]
    assert [comparable_question(prompt, " Box it.") for prompt in prompts] == ["a b c", "a b c"]
    assert with_suffix("a", "") == "a"


def test_copies_of_a_row_count_once(tmp_path: Path) -> None:
    loaded = load(write_rows(tmp_path / "rows.jsonl", [ROWS[0], ROWS[1], ROWS[0]]))
    assert loaded.prompts == PROMPTS
    assert (loaded.origin["rows"], loaded.origin["copies"]) == (3, 1)


def test_copies_need_no_id_to_be_known(tmp_path: Path) -> None:
    rows = [ROWS[0], *[ROWS[1]] * 5, {**ROWS[1], "page": 2}]  # the last is no copy: it says something else
    loaded = load(write_rows(tmp_path / "rows.jsonl", rows), id=None)
    assert [prompt.id for prompt in loaded.prompts] == ["mine-0", "mine-1", "mine-6"]
    assert (loaded.origin["rows"], loaded.origin["copies"]) == (7, 4)


def test_every_prompt_has_the_location_it_was_read_from(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps(row) + "\n\n" for row in [ROWS[0], ROWS[0], ROWS[1]]))
    assert load(path).locations == {"mine-7": f"{path}: row 1", "mine-9": f"{path}: row 5"}


# --- damaged rows ---


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": ""}, "row 2: field 'label' is empty; give an answer, or set the source's `unanswered`"),
        ({"label": None}, "row 2: field 'label' is empty; give an answer, or set the source's `unanswered`"),
        ({"label": True}, "row 2: field 'label' is 'True', and neither text nor a number"),
        ({"label": ["1", "2"]}, "row 2: field 'label' is \"['1', '2']\", and neither text nor a number"),
        ({"text": 3}, "row 2: field 'text' is '3', and neither text nor a list of chat messages"),
        ({"text": "  "}, "row 2: field 'text' is '  ', and neither text nor a list of chat messages"),
        ({"number": None}, "row 2: field 'number' is 'None', and neither text nor a whole number"),
        ({"number": 7}, "row 2: has the id of row 1, number 'mine-7'; make it another"),
    ],
)
def test_a_damaged_row_is_named_with_its_field_and_the_fix(tmp_path: Path, change: dict, message: str) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [ROWS[0], {**ROWS[1], **change}])
    assert refusal(path).startswith(message)


def test_a_row_without_a_field_is_named_with_the_fields_it_has(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [ROWS[0], {"number": 9, "txt": "a", "label": "1", "kind": "k"}])
    assert refusal(path) == "row 2: has no field 'text'; it has number, txt, label, kind: name one in the source"


def test_rows_without_an_answer_are_kept_where_the_source_says_so(tmp_path: Path) -> None:
    rows = [ROWS[0], {**ROWS[1], "label": ""}, {**ROWS[1], "label": None, "number": 10}]
    loaded = load(write_rows(tmp_path / "rows.jsonl", rows), unanswered=True)
    assert [prompt.answer for prompt in loaded.prompts] == ["2", "", ""]
    assert loaded.origin["unanswered"] == ["mine-9", "mine-10"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": \xff}\n', "row 3: byte 0xff is not UTF-8; save it as UTF-8"),
        ("a.jsonl", b'{"a": 1}\n{"a": \n', "row 2: not JSON ("),
        ("a.jsonl", b"[1]\n", "row 1: '[1]' is no object; one object a line is expected"),
        ("a.jsonl", b"\n", "holds no rows"),
        ("a.csv", b"text,label\n1,2\n3\n", "row 3: has not the 2 fields of the first line"),
        ("a.csv", b"text,label\n1,2,3\n", "row 2: has not the 2 fields of the first line"),
        ("a.csv", b'text,label\n"1,2\n', "row 2: not CSV ("),
        ("a.parquet", b"text", "not a Parquet file ("),
    ],
)
def test_a_damaged_file_is_named_with_the_row(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert refusal(tmp_path / name).startswith(message)


def test_a_line_may_hold_what_some_take_for_the_end_of_a_line(tmp_path: Path) -> None:
    path = write_rows(tmp_path / "rows.jsonl", [{**ROWS[0], "text": "one\u2028two"}])
    assert load(path).prompts[0].text == "one\u2028two\n"


# --- the schema ---


def test_a_prompt_without_a_category_is_written_as_before(tmp_path: Path) -> None:
    write_prompts(tmp_path / "a.jsonl", [Prompt("p", "1 + 1\n", "2", "chain1"), PROMPTS[0]])
    first, second = (tmp_path / "a.jsonl").read_text().splitlines()
    assert first == '{"id": "p", "text": "1 + 1\\n", "answer": "2", "family": "chain1"}'
    assert json.loads(second)["category"] == "sums"


# --- the published data ---


SIZES = {"math500": 500, "aime24": 30, "aime25": 30, "amc23": 40, "minerva_math": 272, "olympiadbench": 675}


@published
@pytest.mark.parametrize("name", SIZES)
def test_every_row_of_a_benchmark_is_a_prompt_with_an_answer(name: str) -> None:
    loaded = load_source(name, known_sources()[name], Path(str(DATA)))
    assert len(loaded.prompts) == loaded.origin["rows"] == SIZES[name]
    assert all(prompt.answer and prompt.text.strip() and prompt.family == name for prompt in loaded.prompts)
    categories = {prompt.category for prompt in loaded.prompts}
    assert len(categories) == {"math500": 7, "minerva_math": 9, "olympiadbench": 4}.get(name, 1)


@published
def test_answers_of_benchmarks_are_those_of_their_files() -> None:
    first = {name: load_source(name, known_sources()[name], Path(str(DATA))).prompts[0].answer for name in SIZES}
    assert first == {
        "math500": r"\left( 3, \frac{\pi}{2} \right)",
        "aime24": "204",
        "aime25": "70",
        "amc23": "27",  # written 27.0
        "minerva_math": "1.6",  # in the box of the solution
        "olympiadbench": "2",  # a list of one
    }


@published
def test_dsr_sub_is_as_published_with_one_prompt_that_has_no_answer() -> None:
    loaded = load_source("dsr_sub", known_sources()["dsr_sub"], Path(str(DATA)))
    assert [prompt.id for prompt in loaded.prompts] == [f"dsr_sub-{i}" for i in range(1209)]
    assert loaded.origin["unanswered"] == ["dsr_sub-265"]


@published
@pytest.mark.parametrize(
    ("name", "indices", "answers"),
    [
        ("pi1", [124], ["12.8"]),
        ("pi2", [267], ["24"]),
        ("pi13", [682], [r"\frac{4}{3}"]),
        ("pi1209", [789], [r"-\frac{2023}{2024}"]),
        ("pi1_pi13", [124, 682], ["12.8", r"\frac{4}{3}"]),
    ],
)
def test_a_published_set_of_128_copies_is_a_set_of_one_or_two_prompts(
    name: str, indices: list[int], answers: list[str]
) -> None:
    folder = Path(str(DATA))
    pool = load_source("dsr_sub", known_sources()["dsr_sub"], folder).prompts
    loaded = load_source(name, known_sources()[name], folder)
    assert loaded.origin["rows"] == 128
    found = sorted(loaded.prompts, key=lambda prompt: int(prompt.id.rpartition("-")[2]))
    assert [(p.id, p.text) for p in found] == [(f"{name}-{i}", pool[i].text) for i in indices]
    assert [p.answer for p in found] == answers


def test_every_known_source_names_a_listed_file_or_a_pinned_data_set() -> None:
    listed = read_json(Path(__file__).parents[1] / "resources/public.json")
    for source in known_sources().values():
        assert source.public in listed or len(source.revision or "") == 40
