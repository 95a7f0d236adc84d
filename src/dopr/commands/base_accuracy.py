"""Print what the starting policy answers before any training, task by task, to choose tasks with some success.

CONFIG are overlays on config.yaml, in the order Snakemake is given them. The tasks are those of the configuration's
benchmarks and pools, or data sets of reasoning-gym with their default parameters. Completions are sampled and graded as
in training: `mean reward` is what training would begin with, and `informative` the share of questions whose samples
differ in reward, so that a group of as many rollouts has a gradient.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from itertools import groupby
from pathlib import Path

import pandas as pd
import pyarrow as pa

from dopr.config.data import Source
from dopr.config.reasoning_gym import ReasoningGym
from dopr.config.schema import Config
from dopr.data import reasoning_gym
from dopr.data.dataset import make_dataset
from dopr.data.encoding import encode_prompt
from dopr.data.sources import load_source
from dopr.data.templates import make_template
from dopr.errors import UserError
from dopr.evaluation.evaluate import EvaluationCost, EvaluationSettings, evaluate
from dopr.grading.grader import Grader
from dopr.models.model_folder import read_tokenizer
from dopr.records import Prompt
from dopr.workflow.preflight import check_packages, read_config

HEADER = (
    "| task | questions | prompt tokens | mean reward, % | correct, % | informative, % | unparsed, % | truncated, % |"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("overlays", nargs="*", type=Path, metavar="CONFIG", help="overlays on config.yaml")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="what they are laid over")
    parser.add_argument(
        "--tasks", nargs="+", help="data sets of reasoning-gym, or `all`, in place of the configuration's"
    )
    parser.add_argument("--questions", type=int, default=8, help="of each task (default: %(default)s)")
    parser.add_argument("--samples", type=int, default=8, help="of each question (default: %(default)s)")
    parser.add_argument(
        "--longest",
        type=int,
        default=1000,
        help="tokens of a prompt; leaves out tasks with longer ones (default: %(default)s)",
    )


def run(args: argparse.Namespace) -> None:
    """Print one row a task as it is measured, as a Markdown table.

    Raises:
        UserError: The configuration cannot be run, or its model folder has not been made.
    """
    config = read_config([args.config, *args.overlays])
    check_packages(config)
    folder = model_folder(config, args.overlays)
    from dopr.rollout.open import open_on_folder
    from dopr.runtime.gpus import use_gpus
    from dopr.runtime.threads import use_threads

    use_threads(1)
    tasks = tasks_of(config, args.tasks, args.questions)
    tokenizer = read_tokenizer(folder)
    print(HEADER, "| --- |" + " ---: |" * HEADER.count(",") + " ---: |" * 2, sep="\n", flush=True)
    with use_gpus(config.hardware) as device, Grader(config.verify) as grader:
        engine = open_on_folder(config.rollout, config.base.attn_implementation, folder, device)
        for name, prompts in tasks:
            lengths = [len(encode_prompt(tokenizer, prompt.text)) for prompt in prompts]
            if max(lengths) > args.longest:
                print(f"| {name} | 0 | {max(lengths)} | | | | | |", flush=True)
                continue
            family = prompts[0].family
            settings = EvaluationSettings(
                {family: args.samples},
                {family: config.rollout.temperature},
                config.rollout.max_new_tokens,
                greedy=False,
            )
            table = evaluate(engine, tokenizer, grader, prompts, settings, config.data.seed, EvaluationCost(0, 0, 0))
            print(row_of(name, sum(lengths) / len(lengths), table), flush=True)


def row_of(name: str, length: float, table: pa.Table) -> str:
    """Return a task's row.

    Args:
        name: The task.
        length: The mean number of tokens of its prompts.
        table: Its completions, with dopr.evaluation.evaluate.SCHEMA.
    """
    frame: pd.DataFrame = table.to_pandas()
    rewards = frame.groupby("prompt")["reward"]
    shares = [
        frame["reward"].mean(),
        (frame["verdict"] == "correct").mean(),
        (rewards.nunique() > 1).mean(),
        (frame["verdict"] == "unparsed").mean(),
        (frame["finish"] == "length").mean(),
    ]
    return (
        f"| {name} | {rewards.ngroups} | {length:.0f} | " + " | ".join(f"{100 * share:.0f}" for share in shares) + " |"
    )


def tasks_of(config: Config, names: list[str] | None, questions: int) -> Iterable[tuple[str, list[Prompt]]]:
    """Return each task's name and its first questions, with the template applied."""
    if names:
        return generated(config, reasoning_gym.tasks() if names == ["all"] else names, questions)
    base = config.base
    dataset = make_dataset(config.data, make_template(config.prompt, base.local, base.revision))
    prompts = {prompt.id: prompt for split in (dataset.test, *dataset.pools.values()) for prompt in split}
    by_task = sorted(prompts.values(), key=task_of)
    return [(name, list(found)[:questions]) for name, found in groupby(by_task, task_of)]


def generated(config: Config, names: list[str], questions: int) -> Iterator[tuple[str, list[Prompt]]]:
    """Yield the questions of data sets of reasoning-gym."""
    template = make_template(config.prompt, config.base.local, config.base.revision)
    for name in names:
        source = Source(reasoning_gym=ReasoningGym(task=name, size=questions, seed=config.data.seed))
        yield name, [template.apply(prompt) for prompt in load_source(name, source, None).prompts]


def task_of(prompt: Prompt) -> str:
    """Return the source or family of a prompt, and its category where there is another."""
    return prompt.family if prompt.category in ("", prompt.family) else f"{prompt.family}: {prompt.category}"


def model_folder(config: Config, overlays: list[Path]) -> Path:
    """Return the folder of the starting policy.

    Raises:
        UserError: The workflow has not made it yet; the message has the command that does.
    """
    folder = Path(config.base_of(config.pools[0]))
    if not folder.is_dir():
        given = "".join(f" {path}" for path in overlays)
        raise UserError(
            f"{folder}: is not made yet: snakemake --cores 1 {folder}{' --configfile' + given if given else ''}"
        )
    return folder
