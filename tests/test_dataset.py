"""Splits of real data: whole benchmarks, pools by size or place, validation questions kept apart, overlap counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dopr.config.schema import Config, ConfigError
from dopr.data.dataset import Dataset, make_dataset
from dopr.data.templates import make_template
from dopr.files import DataError
from dopr.workflow.preflight import open_config
from project import Project

BOX = " Box it."


def rows(path: Path, questions: list[str]) -> str:
    path.write_text("".join(json.dumps({"question": q, "answer": str(i)}) + "\n" for i, q in enumerate(questions)))
    return str(path)


@pytest.fixture
def real(raw: dict, tmp_path: Path) -> dict:
    """A benchmark of four questions and a set of ten, whose rows 2 and 5 are questions 1 and 2 of the benchmark."""
    exam = rows(tmp_path / "exam.jsonl", [f"exam {i}" for i in range(4)])
    book = [f"book {i}{BOX}" for i in range(10)]
    book[2], book[5] = f" exam  1{BOX}", f"exam\n2{BOX}"
    raw["data"]["sources"] = {
        "exam": {"file": exam},
        "book": {"file": rows(tmp_path / "book.jsonl", book), "suffix": BOX},
        "page": {"file": rows(tmp_path / "page.jsonl", ["book 7", "book 7 on its own"])},
    }
    raw["data"]["benchmarks"]["real"] = ["exam"]
    raw["data"]["pools"] |= {"all": {"source": "book"}, "three": {"source": "book", "indices": [7, 3, 0]}}
    return raw


def make(raw: dict) -> Dataset:
    config = Config.parse(raw)
    return make_dataset(config.data, make_template(config.prompt, None))


def ids(prompts: list) -> list[str]:
    return [prompt.id for prompt in prompts]


def test_a_benchmark_is_taken_whole_and_drawn_ones_stay_as_they_were(real: dict, config: Config) -> None:
    found = make(real)
    assert ids([p for p in found.test if p.family == "exam"]) == [f"exam-{i}" for i in range(4)]
    before = make_dataset(config.data, make_template(config.prompt, None))
    assert [p for p in found.test if p.family != "exam"] == before.test
    assert found.validation == before.validation
    assert found.pools["easy"] == before.pools["easy"]


def test_a_pool_is_all_or_the_named_rows_or_a_draw_by_the_seed(real: dict) -> None:
    real["data"]["pools"]["some"] = {"source": "book", "size": 4}
    pools = make(real).pools
    assert ids(pools["all"]) == [f"book-{i}" for i in range(10)]
    assert ids(pools["three"]) == ["book-0", "book-3", "book-7"]
    assert len(pools["some"]) == 4
    assert set(pools["some"]) < set(pools["all"])
    assert make(real).pools == pools
    real["data"]["seed"] += 1
    assert make(real).pools["some"] != pools["some"]


def test_questions_of_a_benchmark_in_a_pool_are_counted_and_left_unless_told(real: dict) -> None:
    found = make(real)
    assert found.account["pools"]["all"] == {"prompts": 10, "benchmark_questions": {"exam": 2}}
    assert found.account["pools"]["three"]["benchmark_questions"] == {}
    real["data"]["decontaminate"] = True
    found = make(real)
    assert ids(found.pools["all"]) == [f"book-{i}" for i in range(10) if i not in (2, 5)]
    assert found.account["pools"]["all"] == {"prompts": 8, "benchmark_questions": {"exam": 2}}


def test_validation_questions_are_in_no_pool_and_no_benchmark(real: dict) -> None:
    real["data"]["validation"] = {"source": "book", "size": 3}
    real["data"]["pools"]["other"] = {"source": "page"}
    found = make(real)
    chosen = [p for p in found.validation if p.family == "book"]
    assert len(chosen) == 3
    # 2 and 5 are of the benchmark, 0, 3 and 7 are named by a pool (7 by two): 1, 4, 6, 8 and 9 are free.
    assert set(ids(chosen)) < {f"book-{i}" for i in (1, 4, 6, 8, 9)}
    assert ids(found.pools["all"]) == [f"book-{i}" for i in range(10) if f"book-{i}" not in ids(chosen)]
    assert len(found.pools["three"]) == 3
    assert len(found.pools["other"]) == 2
    real["data"]["validation"]["size"] = 6
    with pytest.raises(DataError, match=r"data.validation: source book has 5 free prompts, 6 wanted"):
        make(real)


@pytest.mark.parametrize(
    ("pool", "message"),
    [
        ({"source": "book", "size": 11}, "data.pools.new.size: source book has 10 prompts, no 11; lower it"),
        ({"source": "book", "indices": [10]}, "data.pools.new.indices: source book has 10 prompts, no 11; lower it"),
    ],
)
def test_a_pool_of_more_than_there_is_is_refused(real: dict, pool: dict, message: str) -> None:
    real["data"]["pools"]["new"] = pool
    with pytest.raises(DataError, match=message):
        make(real)


def test_a_pool_of_which_nothing_is_left_is_refused(real: dict) -> None:
    real["data"]["pools"]["new"] = {"source": "book", "indices": [2]}
    real["data"]["decontaminate"] = True
    with pytest.raises(DataError, match=r"data.pools.new: no prompt is left"):
        make(real)


def test_every_prompt_is_written_in_the_template(real: dict) -> None:
    real["prompt"] = {"template": "dsr-boxed"}
    found = make(real)
    everything = [*found.test, *found.validation, *(p for prompts in found.pools.values() for p in prompts)]
    assert all(prompt.text.endswith("within \\boxed{}.") for prompt in everything)
    assert found.account["prompt"]["template"] == "dsr-boxed"


def test_null_takes_out_what_the_configuration_below_has(real: dict) -> None:
    real["data"]["benchmarks"] |= {"in-domain": None, "harder": None, "cross-domain": None}
    real["data"]["pools"]["hard"] = None
    found = make({**real, "pools": ["easy"]})
    assert {prompt.family for prompt in found.test} == {"exam"}
    assert set(found.pools) == {"easy", "all", "three"}


# --- before any job ---


def refusal(raw: dict) -> str:
    with pytest.raises(ConfigError) as caught:
        open_config(raw)
    return str(caught.value)


def test_real_data_pass_the_checks_before_a_run(real: dict) -> None:
    assert open_config(real).data.sources["book"].suffix == BOX


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda raw: raw["data"]["pools"]["all"].update(source="bok"),
            "data.pools.all.source: there is no source 'bok'; did",
        ),
        (lambda raw: raw["data"]["benchmarks"].update(real=["exams"]), "data.benchmarks: there is no task family 'ex"),
        (
            lambda raw: raw["data"].update(validation={"source": "x"}),
            "data.validation.source: there is no source 'x'; known",
        ),
        (
            lambda raw: raw["data"]["sources"]["book"].update(file="gone.csv"),
            "data.sources.book.file: gone.csv: no such file",
        ),
        (lambda raw: raw.update(prompt={"template": "r1-distil"}), "prompt.template: the embedded policy reads plain"),
        (lambda raw: raw["data"]["pools"]["all"].update(zero_signal=0.5), "data.pools.all: a pool taken from a source"),
        (lambda raw: raw["data"]["pools"]["all"].update(families={"eq1": 1}), "data.pools.all: give either families"),
        (lambda raw: raw["data"]["pools"]["easy"].pop("size"), "data.pools.easy: a pool drawn from families needs a"),
        (
            lambda raw: raw["data"]["sources"]["book"].update(fil="a"),
            "data.sources.book.fil: unknown key; did you mean",
        ),
    ],
)
def test_what_would_fail_later_fails_at_once(real: dict, change, message: str) -> None:
    change(real)
    assert refusal(real).startswith(f"config.yaml: {message}")


def test_a_mirror_without_a_file_is_refused_before_a_run(
    real: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DOPR_DATA", raising=False)
    real["data"] |= {"mirror": str(tmp_path)}
    real["data"]["benchmarks"]["real"] = ["aime24"]
    assert "benchmarks/aime24/test.jsonl: no such file; get it from https://raw.github" in refusal(real)


def test_with_a_model_the_embedded_policys_making_is_of_no_account(real: dict, tiny: Path) -> None:
    real["base"]["model"] = str(tiny)
    real["base"]["warm_start"]["gate_family"] = "none"
    real["prompt"] = {"template": "llama-3.2"}
    assert open_config(real).prompt.template == "llama-3.2"


# --- the job ---


@pytest.mark.slow
def test_the_data_job_writes_them_and_says_where_they_come_from(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, real: dict
) -> None:
    project = Project.copy(tmp_path_factory.mktemp("data"))
    (tmp_path / "mine.yaml").write_text(json.dumps({"data": real["data"]}))
    code, output = project.snakemake("--cores", "1", "--configfile", str(tmp_path / "mine.yaml"), "--", "data")
    assert code == 0, output
    assert "pool all holds 2 questions of exam" in output
    account = json.loads((project.folder / "results/data/provenance.json").read_text())["data"]
    assert account["sources"]["book"]["rows"] == 10
    assert len((project.folder / "results/data/three.jsonl").read_text().splitlines()) == 3


@pytest.mark.slow
def test_a_model_and_data_of_ones_own_are_trained_and_evaluated_by_configuration_alone(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, tiny: Path
) -> None:
    project = Project.copy(tmp_path_factory.mktemp("own"))
    shutil.copytree(tiny, tmp_path / "model")
    (tmp_path / "model/chat_template.jinja").write_text("{% for m in messages %}how {{ m.content }} so {% endfor %}")
    mine = {
        "ablation": "mine",
        "seeds": [0],
        "pools": ["book"],
        "methods": ["grpo"],
        "base": {"model": str(tmp_path / "model")},
        "prompt": {"template": "own"},
        "rollout": {"max_new_tokens": 8},
        "data": {
            "sources": {
                "book": {"file": rows(tmp_path / "book.jsonl", [f"compute {i} + 1" for i in range(6)])},
                "exam": {"file": rows(tmp_path / "exam.jsonl", ["compute 8 + 1", "compute 9 + 1"])},
            },
            "benchmarks": {"in-domain": None, "harder": None, "cross-domain": None, "mine": ["exam"]},
            "pools": {"easy": None, "hard": None, "book": {"source": "book"}},
        },
        "recipes": {"grpo": {"prompts_per_step": 4, "steps": 2, "group_size": 2}},
        "complexity": {"pools": []},
        "evaluate": {"rollouts": [8], "samples": 2, "pass_at": [1], "bootstrap": 20},
    }
    (project.folder / "mine.yaml").write_text(json.dumps(mine))
    code, output = project.snakemake("--cores", "1", "--configfile", "mine.yaml")
    assert code == 0, output
    texts = [json.loads(line)["text"] for line in (project.folder / "results/data/book.jsonl").read_text().splitlines()]
    assert texts == [f"how compute {i} + 1 so " for i in range(6)]
    completions = pq.read_table(next((project.folder / "results/evaluate").rglob("completions.parquet")))
    assert set(completions["benchmark"].to_pylist()) == {"exam"}
    # A random policy writes no box: two questions, once greedily and with two samples each.
    assert "evaluate base/model: none of 6 completions holds an answer where verify.extraction 'boxed' looks" in output
    provenance = json.loads(next((project.folder / "results/train").rglob("provenance.json")).read_text())
    assert provenance["settings"]["prompt"]["template"] == "own"
    assert (project.folder / "results/ablations/mine/accuracy.png").is_file()


def test_a_benchmark_of_more_questions_than_its_family_has_is_refused(raw: dict) -> None:
    raw["data"]["benchmarks"]["harder"].append("mul1")  # 25 products
    raw["data"]["questions"], raw["data"]["validation_questions"] = 20, 6
    message = r"^data: family mul1 has only about 25 free questions, 26 were asked for: ask for fewer$"
    with pytest.raises(DataError, match=message):
        make(raw)


def test_a_pool_of_more_prompts_than_its_family_has_is_refused(raw: dict) -> None:
    raw["data"]["pools"]["easy"].update(size=64, zero_signal=0, families={"mul1": 1})
    with pytest.raises(DataError, match=r"^data: family mul1 has only about 25 free questions, 64 were asked for"):
        make(raw)
