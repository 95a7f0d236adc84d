"""The same answer as lm-evaluation-harness: one model, one set of questions, both greedy, question by question.

Both read the same prompts. dopr decodes with its own sampler and grades with its own grader; lm-eval decodes with
transformers' generate, and scores with the filters and metrics of one of its tasks. Each also scores the other's
completions. Printed are all accuracies, and every question on which completions or scores differ. CONFIG gives the
model, the template, the number of new tokens and the grader; its benchmarks are the questions, or --file.

It needs the package lm-eval, in an environment of its own (docs/evaluation.md).
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from dopr.commands.base_accuracy import model_folder
from dopr.config.data import Source
from dopr.config.schema import Config
from dopr.data.dataset import make_dataset
from dopr.data.encoding import decode_completion, encode_prompt
from dopr.data.sources import load_source
from dopr.data.templates import make_template
from dopr.errors import UserError, suggestion
from dopr.grading.grader import Grader
from dopr.models.model_folder import read_tokenizer
from dopr.records import Prompt
from dopr.rollout.open import open_on_folder
from dopr.workflow.preflight import read_config
from program import run_program

Scores = dict[str, list[bool]]  # name of the scorer -> whether each completion is correct
OURS, THEIRS = "dopr", "lm-eval"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("overlays", nargs="*", type=Path, metavar="CONFIG", help="overlays on config.yaml")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="what they are laid over")
    parser.add_argument("--file", type=Path, help="questions in place of the configuration's benchmarks")
    parser.add_argument("--question", default="question", help="its field with the question (default: %(default)s)")
    parser.add_argument("--answer", default="answer", help="its field with the answer (default: %(default)s)")
    parser.add_argument("--answer-format", default="text", help="text, boxed or gsm8k (default: %(default)s)")
    parser.add_argument("--limit", type=int, help="the first questions only")
    parser.add_argument(
        "--task", default="gsm8k", help="lm-eval's task with filters and metrics (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> None:
    """Decode and score with both, and print the comparison.

    Raises:
        UserError: lm-eval is not installed, the configuration cannot be run, or its model folder has not been made.
    """
    if find_spec("lm_eval") is None:
        raise UserError("lm-eval is not installed here: pip install 'lm-eval[hf]', in an environment of its own")
    config = read_config([args.config, *args.overlays])
    folder = model_folder(config, args.overlays)
    questions = read_questions(config, args)[: args.limit]
    texts = {OURS: decode(config, folder, questions)}
    model = {"pretrained": str(folder), "dtype": "auto", "add_bos_token": False}
    texts[THEIRS], theirs = harness(config, questions, args.task, "hf", model)
    scores = {THEIRS: theirs, OURS: harness(config, questions, args.task, replaying(texts[OURS]))[1]}
    with Grader(config.verify) as grader:
        for decoder, found in texts.items():
            pairs = [(question.answer, text) for question, text in zip(questions, found, strict=True)]
            scores[decoder] = {OURS: [v == "correct" for v in grader.grade(pairs)], **scores[decoder]}
    report(questions, texts, scores)


def read_questions(config: Config, args: argparse.Namespace) -> list[Prompt]:
    """Return the questions, with the template applied."""
    template = make_template(config.prompt, config.base.local, config.base.revision)
    if args.file is None:
        return make_dataset(config.data, template).test
    source = Source(file=args.file, question=args.question, answer=args.answer, answer_format=args.answer_format)
    return [template.apply(prompt) for prompt in load_source(args.file.stem, source, None).prompts]


def decode(config: Config, folder: Path, questions: Sequence[Prompt]) -> list[str]:
    """Return dopr's greedy completions."""
    tokenizer = read_tokenizer(folder)
    engine = open_on_folder(config.rollout, config.base.attn_implementation, folder, "cpu")
    prompts = [encode_prompt(tokenizer, question.text) for question in questions]
    samples = engine.generate(prompts, 1, 0.0, config.evaluation_tokens, 0)
    return [decode_completion(tokenizer, group[0].tokens, group[0].finish) for group in samples]


def harness(
    config: Config, questions: Sequence[Prompt], task: str, model: Any, model_args: Mapping[str, Any] | None = None
) -> tuple[list[str], Scores]:
    """Let lm-eval complete and score the questions; its scores are named by filter and metric."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    known = TaskManager().task_index
    if task not in known:
        raise UserError(f"--task {task}: lm-eval has none{suggestion(task, list(known))}")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "questions.jsonl"
        with path.open("w") as file:
            for question in questions:
                solution = rf"\boxed{{{question.answer}}}"
                row = {"problem": question.text, "answer": question.answer, "solution": solution}
                file.write(json.dumps(row) + "\n")
        settings = {"include": str(known[task].yaml_path), **with_questions(task, path, config.evaluation_tokens)}
        task_file = Path(folder) / "task.yaml"
        task_file.write_text(json.dumps(settings))  # JSON is YAML
        found = simple_evaluate(model, model_args, [str(task_file)], batch_size=16, device="cpu", bootstrap_iters=0)
    samples = sorted(found["samples"][task], key=lambda row: row["doc_id"])
    texts = {row["doc_id"]: row["resps"][0][0] for row in samples}
    scores: Scores = {}
    for row in samples:
        for metric in row["metrics"]:
            scores.setdefault(f"{THEIRS}: {row['filter']}, {metric}", []).append(row[metric] == 1)
    return list(texts.values()), scores


def with_questions(task: str, path: Path, max_new_tokens: int) -> dict[str, Any]:
    """Return lm-eval's task with its filters and metrics, and with these questions, as they are, without examples."""
    return {
        "task": task,
        "dataset_path": "json",
        "dataset_name": None,
        "dataset_kwargs": {"data_files": {"test": str(path)}},
        "training_split": None,
        "fewshot_split": None,
        "fewshot_config": None,
        "num_fewshot": 0,
        "process_docs": None,
        "doc_to_text": "{{problem}}",
        "doc_to_target": "{{answer}}",
        "generation_kwargs": {"until": [], "max_gen_toks": max_new_tokens, "do_sample": False},
    }


def replaying(completions: Sequence[str]) -> Any:
    """Return a model for lm-eval that answers with these completions, in the order of the questions."""
    from lm_eval.api.model import LM

    class Replaying(LM):  # type: ignore[misc]  # lm-eval is not in the environment that is checked
        def generate_until(self, requests: Sequence[Any]) -> list[str]:
            """Return the completion of each request's question."""
            return [completions[request.doc_id] for request in requests]

        def loglikelihood(self, requests: Sequence[Any]) -> Any:
            """Refuse tasks that compare likelihoods."""
            raise UserError("--task: this one compares likelihoods; give one that generates")

        loglikelihood_rolling = loglikelihood

    return Replaying()


def report(questions: Sequence[Prompt], texts: Mapping[str, list[str]], scores: Mapping[str, Scores]) -> None:
    """Print the accuracies, then each question on which completions or scores differ."""
    print("| decoded by | scored by | correct | of | accuracy, % |\n| --- | --- | ---: | ---: | ---: |")
    for decoder, by_scorer in scores.items():
        for scorer, correct in by_scorer.items():
            share = f"{sum(correct)} | {len(correct)} | {100 * sum(correct) / len(correct):.1f}"
            print(f"| {decoder} | {scorer} | {share} |")
    different = [i for i in range(len(questions)) if texts[OURS][i].strip() != texts[THEIRS][i].strip()]
    print(f"\n{len(questions) - len(different)} of {len(questions)} completions are the same text")
    for i in different:
        print(f"{questions[i].id}: {OURS} {texts[OURS][i]!r}, {THEIRS} {texts[THEIRS][i]!r}")
    for scorer in list(scores[OURS])[1:]:
        split = [i for i in range(len(questions)) if scores[OURS][OURS][i] != scores[OURS][scorer][i]]
        print(
            f"\n{len(questions) - len(split)} of {len(questions)} completions of {OURS} get the same score by {scorer}"
        )
        for i in split:
            correct_by = OURS if scores[OURS][OURS][i] else scorer
            print(f"{questions[i].id}: {questions[i].answer!r}, correct by {correct_by}: {texts[OURS][i]!r}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line."""
    run_program(__doc__, add_arguments, run, arguments)


if __name__ == "__main__":
    main()
