"""Sources of reasoning-gym: real tasks of eight categories, from the configuration to rewards."""

from __future__ import annotations

import copy
import inspect
import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from dopr.commands import regrade
from dopr.config.data import Source
from dopr.config.grading import Verify
from dopr.config.schema import Config
from dopr.data.dataset import make_dataset
from dopr.data.sources import check_source, load_source
from dopr.data.templates import make_template
from dopr.evaluation.evaluate import EvaluationSettings, grade_completions
from dopr.files import DataError, read_prompts, write_prompts
from dopr.grading.entries import Entry, installed_version
from dopr.grading.grader import Grader, GraderError
from dopr.records import Prompt
from dopr.workflow.rule_params import RuleParams

MISSING = "reasoning-gym is not installed: make reasoning-gym"
needs_package = pytest.mark.skipif(installed_version() is None, reason=MISSING)
without_package = pytest.mark.skipif(installed_version() is not None, reason="reasoning-gym is installed")
TASKS = {  # a task of each category, two where scorers differ much
    "algebra": ["simple_equations", "intermediate_integration"],
    "algorithmic": ["spell_backward", "string_insertion"],
    "arc": ["rearc"],
    "arithmetic": ["chain_sum", "fraction_simplification"],
    "cognition": ["number_sequence"],
    "games": ["countdown", "n_queens"],
    "graphs": ["shortest_path", "largest_island"],
    "logic": ["syllogism", "knights_knaves"],
}
EVERY = [task for tasks in TASKS.values() for task in tasks]
LISTS = {"binary_matrix", "n_queens", "spiral_matrix", "string_insertion"}
FORMULAS = {"countdown", "puzzle24", "polynomial_multiplication", "simple_integration", "intermediate_integration"}
LIMITS = {"seconds": 5, "memory_mb": 2048, "max_error_share": 0}


def source(task: str, size: int = 3, seed: int = 1, suffix: str = "", **parameters: object) -> Source:
    settings = {"task": task, "size": size, "seed": seed, "parameters": parameters}
    return Source(reasoning_gym=settings, suffix=suffix)


def load(task: str, **settings: object) -> list[Prompt]:
    return load_source("mine", source(task, **settings), None).prompts


def entry(prompt: Prompt) -> Entry:
    return Entry.read(prompt.answer)


# --- rows ---


@needs_package
@pytest.mark.parametrize("task", EVERY)
def test_a_reference_holds_the_whole_entry_with_its_tuples_and_keys(task: str) -> None:
    from reasoning_gym import create_dataset

    dataset = create_dataset(task, size=3, seed=1)
    for index, prompt in enumerate(load(task)):
        assert entry(prompt) == Entry(version("reasoning-gym"), task, {}, dataset[index])
        assert prompt.text == dataset[index]["question"] + "\n"
        assert (prompt.id, prompt.family, prompt.category) == (f"mine-{index}", "mine", task)


@needs_package
def test_questions_depend_on_the_seed_and_not_on_the_hashes_of_the_process() -> None:
    # isomorphic_strings iterates over sets of letters.
    code = "import json, sys; from test_reasoning_gym import load; print([p.text for p in load('isomorphic_strings')])"
    paths = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    environments = [{**os.environ, "PYTHONPATH": paths, "PYTHONHASHSEED": seed} for seed in ("1", "2")]
    texts = [subprocess.check_output([sys.executable, "-c", code], env=environment) for environment in environments]
    assert texts[0] == texts[1]
    assert {prompt.text for prompt in load("chain_sum", size=8, seed=3)}.isdisjoint(
        prompt.text for prompt in load("chain_sum", size=8, seed=30)
    )


@needs_package
def test_parameters_reach_the_task_and_equal_questions_count_once() -> None:
    loaded = load_source("mine", source("products", size=60, max_digits=1), None)
    assert loaded.origin["rows"] == 60
    assert loaded.origin["copies"] == 60 - len(loaded.prompts) > 0  # 81 products of one digit
    assert len({prompt.text for prompt in loaded.prompts}) == len(loaded.prompts)
    assert all(0 <= int(entry(prompt).content["answer"]) <= 81 for prompt in loaded.prompts)
    assert loaded.origin["reasoning-gym"] == version("reasoning-gym")


@needs_package
def test_a_composite_mixes_tasks_and_each_entry_names_its_own() -> None:
    parts = [{"name": "chain_sum", "config": {"max_digits": 1}}, {"name": "syllogism", "weight": 2}]
    prompts = load("composite", size=12, datasets=parts)
    assert {prompt.category for prompt in prompts} == {"chain_sum", "syllogism"}
    assert {(entry(p).task, str(entry(p).parameters)) for p in prompts} == {
        ("chain_sum", "{'max_digits': 1}"),
        ("syllogism", "{}"),
    }


@needs_package
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"task": "chainsum"}, ".task: reasoning-gym 0.1.25 has no 'chainsum'; did you mean 'chain_sum'?"),
        (
            {"task": "chain_sum", "max_digit": 1},
            ".parameters: chain_sum has no 'max_digit'; did you mean 'max_digits'?",
        ),
        (
            {"task": "chain_sum", "min_terms": 0},
            ".parameters: chain_sum refuses {'min_terms': 0}: min_terms must be positive",
        ),
        (
            {"task": "composite", "datasets": [{"name": "gdc"}]},
            ".parameters.datasets: reasoning-gym 0.1.25 has no 'gdc'; did you mean 'gcd'?",
        ),
        ({"task": "composite"}, ".parameters: composite refuses {}: Must specify at least one dataset"),
    ],
    ids=["task", "parameter", "value", "part", "parts"],
)
def test_a_mistake_costs_one_line_before_anything_is_made(settings: dict, message: str) -> None:
    with pytest.raises(DataError) as caught:
        check_source("mine", source(**settings), None)
    assert str(caught.value) == f"data.sources.mine.reasoning_gym{message}"


@without_package
def test_without_the_package_one_line_names_the_extra() -> None:
    with pytest.raises(
        DataError,
        match=r"mine.reasoning_gym: needs .* not installed: pip install --editable '\.\[reasoning-gym\]' in the clone$",
    ):
        check_source("mine", source("chain_sum"), None)


@pytest.mark.parametrize("extra", [{"answer": "label"}, {"file": "x.jsonl"}, {"format": "csv"}])
def test_keys_of_files_do_not_go_with_it(extra: dict) -> None:
    with pytest.raises(ValueError, match=r"leave it out|exactly one of"):
        Source(reasoning_gym={"task": "chain_sum", "size": 1, "seed": 0}, **extra)
    made = source("chain_sum")
    assert Source(**made.model_dump(mode="json")) == made


# --- splits ---


@pytest.fixture
def mixed(shipped: dict) -> dict:
    raw = copy.deepcopy(shipped)
    digits = {"max_digits": 1}
    raw["data"]["sources"] = {
        "train": {"reasoning_gym": {"task": "products", "size": 60, "seed": 1, "parameters": digits}},
        "exam": {"reasoning_gym": {"task": "products", "size": 10, "seed": 2, "parameters": digits}},
    }
    raw["data"]["benchmarks"]["products"] = ["exam"]
    raw["data"]["pools"]["gym"] = {"source": "train"}
    return raw


@needs_package
def test_no_held_out_question_is_in_a_generated_pool(mixed: dict) -> None:
    mixed["data"]["validation"] = {"source": "train", "size": 5}
    data = Config.parse(mixed).data
    found = make_dataset(data, make_template(Config.parse(mixed).prompt, None))
    generated = {prompt.text for prompt in load("products", size=60, max_digits=1)}
    held_out = {prompt.text for prompt in [*found.test, *found.validation]}
    assert generated & {prompt.text for prompt in found.test}  # so something had to be taken out
    assert {prompt.text for prompt in found.pools["gym"]} == generated - held_out
    assert found.account["pools"]["gym"]["benchmark_questions"] == {}


@needs_package
def test_a_pool_that_is_its_own_benchmark_is_refused(mixed: dict) -> None:
    mixed["data"]["benchmarks"]["products"] = ["train"]
    config = Config.parse(mixed)
    with pytest.raises(DataError, match=r"data.pools.gym: no prompt is left; .* needs another seed"):
        make_dataset(config.data, make_template(config.prompt, None))


@needs_package
def test_the_version_is_an_input_where_the_package_is_used(mixed: dict, shipped: dict) -> None:
    assert RuleParams(Config.parse(mixed)).data()["reasoning-gym"] == version("reasoning-gym")
    assert "reasoning-gym" not in RuleParams(Config.parse(shipped)).data()


# --- scores ---


@needs_package
@pytest.mark.parametrize("task", EVERY)
def test_the_packages_own_answer_scores_1_after_a_file_and_a_worker(task: str, tmp_path: Path) -> None:
    write_prompts(tmp_path / "pool.jsonl", load(task))
    prompts = read_prompts(tmp_path / "pool.jsonl")
    texts = [f"I think <answer> no </answer>, so <answer>{entry(p).content['answer']}</answer>." for p in prompts]
    with Grader(Verify(**LIMITS)) as grader:
        assert grader.grades([(p.answer, text) for p, text in zip(prompts, texts, strict=True)]) == [("correct", 1)] * 3


@needs_package
def test_grades_are_those_of_the_scorer_called_directly() -> None:
    from reasoning_gym import create_dataset

    tasks = ["countdown", "chain_sum", "spell_backward", "number_sorting", "fraction_simplification", "syllogism"]
    answers = ["7", "-1 + 1", "olleh", "[]", "1/2", "Yes", "the answer is 12"]
    pairs, expected = [], []
    for task in tasks:
        scorer = create_dataset(task, size=3, seed=1)
        for prompt in load(task):
            right = str(entry(prompt).content["answer"])
            for answer in [*answers, right, f"= {right}"]:
                pairs.append((prompt.answer, f"<answer>{answer}</answer>"))
                expected.append(scorer.score_answer(answer, entry(prompt).content))
    with Grader(Verify(**LIMITS)) as grader:
        grades = grader.grades(pairs)
    assert [grade.score for grade in grades] == expected
    assert len(set(expected)) > 4  # parts of 1 among them
    assert [grade.verdict == "correct" for grade in grades] == [score == 1 for score in expected]


@needs_package
def test_an_answer_that_a_scorer_would_run_is_never_run(tmp_path: Path) -> None:
    trace = tmp_path / "trace"
    call = f'__import__("pathlib").Path("{trace}").touch()'
    attacks = {
        "countdown": [call, "eval(chr(49))", "N.__class__", "(lambda: 1)()", "ｅｖａｌ(1)"],
        "intermediate_integration": [call, "exit()", "x if x else open(1)"],
        "n_queens": [call, f"[{call}]", "exit()"],
        "string_insertion": [call, "[print(1)]"],
    }
    pairs = [(prompt.answer, f"<answer>{text}</answer>") for task, texts in attacks.items() for text in texts
             for prompt in load(task, size=1)]  # fmt: skip
    with Grader(Verify(**LIMITS)) as grader:
        grades = grader.grades(pairs)
    assert {grade.verdict for grade in grades} == {"wrong"}
    assert max(grade.score for grade in grades) <= 0.05  # what the package gives for any text
    assert not trace.exists()


@needs_package
def test_no_other_scorer_of_the_package_evaluates_answers() -> None:
    from reasoning_gym.factory import DATASETS

    evaluating = {
        task
        for task, (dataset, _) in DATASETS.items()
        if re.search(r"\b(?:eval|exec|parse_expr|sympify|S)\(", inspect.getsource(dataset.score_answer))
    }
    assert evaluating - {"number_sorting"} == LISTS | FORMULAS  # number_sorting evaluates its own answer only


@needs_package
def test_a_scorer_that_hangs_is_killed_and_the_next_answer_is_scored() -> None:
    (prompt,) = load("countdown", size=1)
    right = entry(prompt).content["answer"]
    with Grader(Verify(**{**LIMITS, "seconds": 1})) as grader:
        texts = [f"<answer>{answer}</answer>" for answer in ("9**9**9**9", right)]
        assert grader.grades([(prompt.answer, text) for text in texts]) == [("timeout", 0), ("correct", 1)]


@needs_package
def test_answers_are_read_from_tags_and_else_where_the_configuration_says() -> None:
    (prompt,) = load("syllogism", size=1)
    right = entry(prompt).content["answer"]
    texts = [rf"<answer>{right}</answer>", rf"\boxed{{{right}}}", right, rf"\boxed{{Maybe}} <answer>{right}</answer>"]
    scores = {}
    for extraction in (None, "boxed", "exact"):
        with Grader(Verify(**LIMITS, extraction=extraction)) as grader:
            scores[extraction] = [grade.score for grade in grader.grades([(prompt.answer, text) for text in texts])]
    assert scores == {None: [1, 0, 0, 1], "boxed": [1, 1, 0, 1], "exact": [1, len(right) / len(texts[1]), 1, 1]}


@needs_package
def test_arithmetic_and_entries_are_graded_side_by_side() -> None:
    (prompt,) = load("chain_sum", size=1)
    sum_, right = Prompt("p", "1 + 1\n", "2", "sums"), entry(prompt).content["answer"]
    completions = [
        (sum_, r"\boxed{2}"),
        (prompt, f"<answer>{right}</answer>"),
        (sum_, r"\boxed{3}"),
        (prompt, "no tags"),
    ]
    with Grader(Verify(**LIMITS)) as grader:
        grades = grade_completions(grader, EvaluationSettings({}, {}, 8).rewards, completions)
    assert grades == [("correct", 1), ("correct", 1), ("wrong", 0), ("unparsed", 0)]


@needs_package
def test_regrading_scores_again_from_the_file_alone() -> None:
    import pyarrow as pa

    (prompt,) = load("chain_sum", size=1)
    right = entry(prompt).content["answer"]
    rows = [{"prompt": prompt.id, "answer": prompt.answer, "verdict": "wrong", "reward": 0.0, "text": text}
            for text in (f"<answer>{right}</answer>", f"<answer>it is {right}</answer>")]  # fmt: skip
    with Grader(Verify(**LIMITS)) as grader:
        graded, changes, _ = regrade.regrade(pa.Table.from_pylist(rows), grader)
    assert graded["verdict"].to_pylist() == ["correct", "wrong"]
    assert graded["reward"].to_pylist() == [1.0, len(right) / len(f"it is {right}")]  # the scorer's own part of 1
    assert changes == {("wrong", "correct"): 1}


@needs_package
def test_questions_of_another_version_are_not_scored(capfd: pytest.CaptureFixture) -> None:
    (prompt,) = load("chain_sum", size=1)
    older = Entry(**{**vars(entry(prompt)), "version": "0.1.0"}).reference()
    with Grader(Verify(**LIMITS)) as grader, pytest.raises(GraderError, match="are errors of the grader"):
        grader.grades([(older, "<answer>1</answer>")])
    assert "reasoning-gym 0.1.25 is installed, but 0.1.0 made the questions" in capfd.readouterr().err


@without_package
def test_entries_cannot_be_scored_without_the_package() -> None:
    reference = Entry("0.1.25", "chain_sum", {}, {"question": "1 + 1", "answer": "2", "metadata": {}}).reference()
    with (
        Grader(Verify(**LIMITS)) as grader,
        pytest.raises(GraderError, match=r"pip install --editable '\.\[reasoning-gym\]' in the clone$"),
    ):
        grader.grades([(reference, "<answer>2</answer>")])


def test_a_reference_keeps_tuples_and_keys_that_are_not_text() -> None:
    content = {"answer": None, "metadata": {"grid": ((1, 2), [3, (4,)]), "colours": {0: "red", (1, 2): {}}, "π": 0.5}}
    made = Entry("1", "graph_color", {"sizes": [1, 2]}, content)
    assert Entry.read(made.reference()) == made
    json.loads(made.reference().partition(":")[2])
    assert "\n" not in made.reference()
