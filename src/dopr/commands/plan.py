"""Say what an experiment costs before anything is started: jobs, rollouts, tokens, GPU-hours, disk, memory.

CONFIG are overlays on config.yaml, in the order Snakemake is given them. Rollouts are exact, but for the selector dopr
with `screening`, which samples more or fewer. Tokens, and with them hours, are an upper bound in which every completion
is as long as rollout.max_new_tokens allows, unless --mean-tokens says how long they are. What lies on disk already is
not taken off.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path

from dopr.config.schema import Config
from dopr.files import read_prompts
from dopr.planning.cost import TABLE, Throughput, disk, memory
from dopr.planning.shape import Shape, shape_of
from dopr.planning.work import Lengths, Work, work_of
from dopr.workflow.preflight import read_config
from dopr.workflow.rule_params import RuleParams

SMALLEST = 1e8  # parameters: a smaller policy runs on a CPU, and no GPU-hours are estimated
CHARACTERS = 3.0  # characters per token, assumed if there is no tokenizer
PROMPT = 150  # tokens of a prompt, assumed if there are no pools
DATA = Path("results/data")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's options."""
    parser.add_argument("overlays", nargs="*", type=Path, metavar="CONFIG", help="overlays on config.yaml")
    parser.add_argument("--config", type=Path, default=Path("config.yaml"), help="what they are laid over")
    parser.add_argument("--gpu", default="A100-80", help="a GPU of the throughput table")
    parser.add_argument("--gpus", type=int, default=1, help="how many share a run (for the memory of each)")
    parser.add_argument("--runs-at-once", type=int, default=1, help="how many are unfinished at a time (for disk)")
    parser.add_argument("--mean-tokens", type=float, help="mean length of a completion (default: the limit)")
    parser.add_argument("--prompt-tokens", type=float, help="mean length of a prompt (default: measured, or assumed)")
    parser.add_argument("--throughput", type=Path, default=TABLE, help="your own table of tokens a second")


def run(args: argparse.Namespace) -> None:
    """Print the plan.

    Raises:
        UserError: the configuration cannot be run, or something it needs is unknown.
    """
    config = read_config([args.config, *args.overlays])
    prompt, origin = (args.prompt_tokens, "as given") if args.prompt_tokens else mean_prompt(config)
    lengths = Lengths(prompt, args.mean_tokens or config.rollout.max_new_tokens)
    shape, works = shape_of(config), work_of(config, lengths)
    large = shape.parameters >= SMALLEST
    throughput = Throughput.read(args.throughput, args.gpu, shape.parameters) if large else None
    bound = "" if args.mean_tokens else ", an upper bound"
    print(f"Policy: {config.base.model or 'embedded'}, {shape.parameters / 1e6:,.1f} M parameters")
    print(f"Prompt: {prompt:,.0f} tokens on average, {origin}. Completion: {lengths.completion:,.0f} tokens{bound}.\n")
    print(work_table(works, throughput, args.gpu))
    print("\nFigures, tables and the report take minutes on a CPU and are left out.")
    if throughput:
        print(f"Hours are estimates from {args.throughput.name}: {'; '.join(throughput.sources)}.")
    else:
        print("No GPU-hours are estimated for so small a policy; it runs on a CPU.")
    print_sizes(config, shape, works, lengths, args)


def mean_prompt(config: Config) -> tuple[float, str]:
    """Return the mean tokens of a prompt of the pools, and whether it is measured or assumed."""
    files = [DATA / f"{pool}.jsonl" for pool in config.pools]
    if not all(path.is_file() for path in files):
        return PROMPT, "assumed, as results/data has no pools yet"
    texts = [prompt.text for path in files for prompt in read_prompts(path)]
    folders = [Path(config.base_of(pool)) / "tokenizer.json" for pool in config.pools]
    if not folders[0].is_file():
        return sum(map(len, texts)) / len(texts) / CHARACTERS, f"assumed, at {CHARACTERS:g} characters a token"
    from tokenizers import Tokenizer

    from dopr.data.encoding import encode_prompt

    tokenizer = Tokenizer.from_file(str(folders[0]))
    return sum(len(encode_prompt(tokenizer, text)) for text in texts) / len(texts), "measured"


def work_table(works: Sequence[Work], throughput: Throughput | None, gpu: str) -> str:
    """Return the table of work as Markdown: a row per rule, and their sum."""
    head = f"| rule | jobs | runs | rollouts | prompt tokens | completion tokens | {gpu} hours |"
    lines = [head, "|---|" + "---:|" * 6]
    total = [0.0] * 5
    for work in works:
        hours = throughput.hours(work) if throughput else 0.0
        numbers = [work.jobs, work.rollouts, work.prompt_tokens, work.completion_tokens, hours]
        total = [a + b for a, b in zip(total, numbers, strict=True)]
        name = f"{work.rule}, {work.method}" if work.method else work.rule
        lines.append(row(name, [work.jobs, work.runs, *numbers[1:4]], hours if throughput else None))
    jobs, rollouts, prompts, completions, hours = total
    lines.append(row("all", [jobs, sum(work.runs for work in works), rollouts, prompts, completions], hours))
    return "\n".join(lines)


def row(name: str, numbers: Sequence[float], hours: float | None) -> str:
    """Return a row of the table."""
    shown = f"{hours:,.1f}" if hours else "–"
    return f"| {name} | " + " | ".join(f"{number:,.0f}" for number in numbers) + f" | {shown} |"


def print_sizes(
    config: Config, shape: Shape, works: Sequence[Work], lengths: Lengths, args: argparse.Namespace
) -> None:
    """Print the disk space, and the memory of the method that needs most."""
    jobs = RuleParams(config)
    recipes = {method: jobs.recipe(method) for method in config.methods}
    dtype = next(iter(recipes.values())).dtype
    print(f"\nDisk: {sizes(disk(works, shape, dtype, args.runs_at_once))}.")
    needs = {method: memory(recipe, config.rollout, shape, lengths, args.gpus) for method, recipe in recipes.items()}
    most = max(needs, key=lambda method: sum(needs[method].values()))
    each = f"each of {args.gpus} GPUs" if args.gpus > 1 else "one GPU"
    print(f"Memory of {each}, {most}: {sizes(needs[most])}.")


def sizes(parts: Mapping[str, float]) -> str:
    """Return the total of sizes in bytes and each by name, in GB or MB."""
    total = sum(parts.values())
    unit, name = (1e9, "GB") if total >= 1e9 else (1e6, "MB")
    named = [f"{part} {size / unit:,.1f}" for part, size in parts.items() if size]
    return f"{total / unit:,.1f} {name} ({', '.join(named)})"
